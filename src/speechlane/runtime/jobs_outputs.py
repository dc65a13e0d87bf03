"""A job's artifacts: made from its chunks, stored once it is done, made on the fly before."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from speechlane.audio import position_to_ms
from speechlane.batch.job import Job
from speechlane.batch.manifest import job_manifest
from speechlane.batch.merge import ChunkText, merge, parts_of
from speechlane.batch.seams import ObjectStore
from speechlane.captions import FORMATS, render, transcript_to_dict
from speechlane.diarization import Turn, assign_speakers, format_rttm
from speechlane.engine import DiarizerIdentity
from speechlane.errors import NotFound
from speechlane.provenance import ChunkRecord
from speechlane.runtime.jobs_decode import ChunkDecoder
from speechlane.transcript import Transcript

MANIFEST = "manifest.json"
TURNS = "transcript.rttm"
"""The diarizer's own turns, which words alone do not tell: pauses within a turn, voices at the same time."""


@dataclass(frozen=True, slots=True)
class Document:
    """What is sent to who asks: bytes, their media type, their sha256 where stored, and whether more may come."""

    body: bytes
    media_type: str
    sha256: str | None
    partial: bool


def artifact_key(job_id: str, name: str) -> str:
    """Where an artifact lies in the object store."""
    return f"jobs/{job_id}/{name}"


async def publish(
    job: Job,
    *,
    texts: Sequence[ChunkText],
    records: Sequence[ChunkRecord],
    turns: Sequence[Turn],
    samples: int,
    decoder: ChunkDecoder,
    diarizer: DiarizerIdentity | None,
    objects: ObjectStore,
) -> tuple[dict[str, dict[str, Any]], str | None]:
    """Store the transcript in every format, and the manifest.

    Returns:
        For each artifact its ``sha256`` and ``bytes``, and the language of most words.
    """
    transcript = transcript_of(texts, turns, position_to_ms(samples), decoder)
    outputs = {}
    for file_format in FORMATS:
        name = f"transcript.{file_format}"
        body = _rendered(transcript, file_format, job, partial=False).body
        outputs[name] = asdict(await objects.put(artifact_key(job.id, name), body))
    if diarizer is not None:
        rttm = format_rttm(turns, recording=job.id).encode()
        outputs[TURNS] = asdict(await objects.put(artifact_key(job.id, TURNS), rttm))
    manifest = job_manifest(
        job,
        records=records,
        engine=decoder.engine.identity,
        diarizer=diarizer,
        preprocessing=decoder.preprocessing,
        postprocessing=decoder.postprocessing,
        samples=samples,
        outputs=outputs,
        software=decoder.software,
    )
    stored = await objects.put(artifact_key(job.id, MANIFEST), _json(manifest))
    return {**outputs, MANIFEST: asdict(stored)}, transcript.language


def transcript_of(
    texts: Sequence[ChunkText], turns: Sequence[Turn], duration_ms: int, decoder: ChunkDecoder
) -> Transcript:
    """The transcript of the chunks there are, with speakers where there are turns."""
    parts = parts_of(texts)
    words = assign_speakers([word for part in parts for word in part.words], turns)
    return merge(parts, words, duration_ms, decoder.segment_rules)


def partial_document(transcript: Transcript, file_format: str, job: Job) -> Document:
    """The segments so far; JSON says so with ``"partial": true``."""
    return _rendered(transcript, file_format, job, partial=True)


async def stored_turns(job: Job, objects: ObjectStore) -> Document:
    """The speaker turns of a finished job, as RTTM.

    Raises:
        NotFound: ``no_turns`` when the job was not asked to tell speakers apart.
    """
    if TURNS not in job.outputs:
        raise NotFound(
            "no_turns",
            'format: the job has no speaker turns. Post the recording again with diarize {"mode": "speaker"}.',
            field="format",
        )
    body = await objects.get(artifact_key(job.id, TURNS))
    return Document(body, "text/plain; charset=utf-8", job.outputs[TURNS]["sha256"], partial=False)


async def stored_document(job: Job, file_format: str, objects: ObjectStore) -> Document:
    """The artifact of a finished job.

    Raises:
        NotFound: ``unknown_object`` when it has been deleted.
    """
    name = f"transcript.{file_format}"
    body = await objects.get(artifact_key(job.id, name))
    media_type = render(Transcript((), 0), file_format).media_type
    return Document(body, media_type, job.outputs[name]["sha256"], partial=False)


def _rendered(transcript: Transcript, file_format: str, job: Job, *, partial: bool) -> Document:
    if file_format == "json" and (partial or not job.options.words):
        values = transcript_to_dict(transcript)
        if partial:
            values["partial"] = True
        if not job.options.words:
            for segment in values["segments"]:
                segment["words"] = []
        return Document(_json(values), "application/json", None, partial)
    body, media_type = render(transcript, file_format)
    return Document(body, media_type, None, partial)


def _json(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, ensure_ascii=False, indent=1).encode("utf-8", errors="replace") + b"\n"
