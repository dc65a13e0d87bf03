"""The manifest of a job: everything that a replay needs (docs/protocol.md, section 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from speechlane.batch.job import Job
from speechlane.engine import DiarizerIdentity, EngineIdentity
from speechlane.provenance import ChunkRecord, digest_of

MANIFEST_VERSION = 1


def job_manifest(
    job: Job,
    *,
    records: Sequence[ChunkRecord],
    engine: EngineIdentity,
    diarizer: DiarizerIdentity | None,
    preprocessing: Mapping[str, Any],
    postprocessing: Mapping[str, Any],
    samples: int,
    outputs: Mapping[str, Mapping[str, Any]],
    software: str,
) -> dict[str, Any]:
    """The manifest as JSON values.

    Args:
        job: for its input and options.
        records: the job's chain in the registry, whole.
        engine: what decoded the chunks.
        diarizer: what told speakers apart, None where nothing did.
        preprocessing: what was done to the sound before the engine heard it.
        postprocessing: what was done to the words afterwards.
        samples: length of the decoded recording at 16 kHz.
        outputs: ``bytes`` and ``sha256`` of each artifact but the manifest itself.
        software: this program's name and version, and Python's.
    """
    return {
        "manifest_version": MANIFEST_VERSION,
        "job": job.id,
        "created_at": job.created_at,
        "software": software,
        "input": {**asdict(job.input), "samples": samples, "sample_rate_decoded": 16_000},
        "options": job.options.as_fields(),
        "preprocessing": {**preprocessing, "digest": digest_of(preprocessing)},
        "engine": asdict(engine) | {"pin": engine.pin},
        "chunks": [
            {
                "chunk_id": record.chunk_id,
                "start_ms": record.start_ms,
                "end_ms": record.end_ms,
                "audio_sha256": record.audio_sha256,
                "padded_ms": record.padded_ms,
                "options": record.options,
                "locale_requested": record.locale_requested,
                "text_sha256": record.text_sha256,
                "hash": record.hash,
            }
            for record in records
        ],
        "diarizer": _diarizer(diarizer) if diarizer is not None else None,
        "postprocessing": {**postprocessing, "digest": digest_of(postprocessing)},
        "outputs": {name: dict(facts) for name, facts in outputs.items()},
        "warnings": [dict(warning) for warning in job.warnings],
    }


def _diarizer(identity: DiarizerIdentity) -> dict[str, Any]:
    return {
        "diarizer": identity.diarizer,
        "diarizer_version": identity.diarizer_version,
        "models": [{"name": name, "sha256": digest} for name, digest in identity.models],
        "options": dict(identity.options),
    }
