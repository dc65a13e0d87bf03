"""The demo's work: live captions, a diarized job, a scored clip, what made the text, and the files of all that."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib.resources import as_file
from pathlib import Path
from typing import Any

from speechlane.captions import render, transcript_from_dict
from speechlane.captions.document import SCHEMA
from speechlane.cli.demo_scores import diarization_score, word_score
from speechlane.cli.demo_view import DemoView
from speechlane.cli.jobs import finished_job, own_server
from speechlane.cli.streaming import file_frames, stream
from speechlane.client import JobsClient, LiveClient, Message
from speechlane.errors import EngineFailed, StorageFailed
from speechlane.samples import sample
from speechlane.settings import Settings

CONVERSATION = "two_speakers"
CLIP = "jfk"
SEGMENT_FIELDS = ("channel", "segment", "speaker", "start_ms", "end_ms", "text", "language", "confidence", "words")


async def run_demo(settings: Settings, view: DemoView) -> dict[str, Any]:
    """Run everything, show it, write the files, and return what ``--json`` prints.

    Raises:
        SpeechlaneError: any part failed.
    """
    began = time.monotonic()
    folder = settings.data / "demo"
    files = DemoFiles(folder)
    with ExitStack() as stack:
        conversation, clip = (stack.enter_context(as_file(sample(f"{name}.wav"))) for name in (CONVERSATION, CLIP))
        view.starting()
        async with own_server(replace(settings, data=folder / "server")) as url, JobsClient(url) as jobs:
            view.ready(url, folder)
            live = await caption_live(url, conversation, view)
            files.write_live(live)
            batch = await transcribe(jobs, conversation, view, files, diarize=True)
            turns = sample(f"{CONVERSATION}.rttm").read_text()
            duration_ms = batch["transcript"]["duration_ms"]
            batch.update(diarization_score(batch["turns"], turns, duration_ms=duration_ms))
            view.transcript(batch)
            spoken = await transcribe(jobs, clip, view, files, diarize=False)
            reference = sample(f"{CLIP}.txt").read_text().strip()
            scored = word_score(reference, spoken["transcript"])
            view.clip(scored)
            provenance = [
                *await records(jobs, session=live["session"]),
                *await records(jobs, job=batch["job"]["id"]),
                *await records(jobs, job=spoken["job"]["id"]),
            ]
            models = (await jobs.json("/v1/models"))["models"]
    view.provenance(provenance, batch["manifest"], {model["name"]: model["languages"] for model in models})
    log = folder / "server" / "live" / live["session"] / "events.jsonl"
    view.files(files.written, log)
    seconds = round(time.monotonic() - began, 1)
    view.done(seconds)
    return {
        "live": live,
        "batch": batch,
        "clip": {**spoken, **scored},
        "wer": scored["wer"],
        "provenance": provenance,
        "files": [str(path) for path in files.written],
        "seconds": seconds,
    }


async def caption_live(url: str, path: Path, view: DemoView) -> dict[str, Any]:
    """Stream the recording in real time; when what was shown, and every final with its ``received_s``."""
    messages: list[Message] = []
    with view.live(path.name) as draw:

        def show(message: Message, received_s: float) -> None:
            messages.append({**message, "received_s": round(received_s, 3)})
            draw(message, received_s)

        async with LiveClient(url) as client:
            await stream(client, file_frames(path, speed=1, stop=asyncio.Event()), show)
    partials = [message for message in messages if message["type"] == "caption.partial"]
    finals = [message for message in messages if message["type"] == "caption.final"]
    if not partials or not finals:
        raise EngineFailed(
            "no_captions", f"No words were heard in {path.name}. Run speechlane doctor to see what is missing."
        )
    finished = messages[-1]
    live = {
        "session": messages[0]["session"],
        "route": messages[0]["route"],
        "finals": finals,
        "partials": len(partials),
        "first_partial_s": partials[0]["received_s"],
        "first_partial_lag_s": round(partials[0]["received_s"] - partials[0]["start_ms"] / 1000, 3),
        "first_final_s": finals[0]["received_s"],
        "finished_s": finished["received_s"],
        "duration_ms": finished["duration_ms"],
        "speech_ms": finished["speech_ms"],
    }
    view.live_figures(live)
    return live


async def transcribe(
    jobs: JobsClient, path: Path, view: DemoView, files: DemoFiles, *, diarize: bool
) -> dict[str, Any]:
    """Post the recording as a job, follow it, fetch and keep its transcript, captions and manifest."""
    options: dict[str, Any] = {"diarize": {"mode": "speaker"}} if diarize else {}
    with view.job(path.name, options) as report:
        job = await finished_job(jobs, path, options, report)
    where = f"/v1/jobs/{job['id']}"
    forms = ("json", "txt", "srt", "vtt", *(["rttm"] if diarize else []))
    texts = {form: await jobs.text(f"{where}/transcript", format=form) for form in forms}
    manifest = await jobs.json(f"{where}/manifest")
    files.write_job(path.stem, texts, manifest)
    return {
        "job": job,
        "transcript": json.loads(texts["json"]),
        "turns": texts.get("rttm"),
        "manifest": manifest,
    }


async def records(jobs: JobsClient, **owner: str) -> list[dict[str, Any]]:
    """All provenance records of one session or job, in order of index."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = await jobs.json("/v1/chunks", **owner, **cursor)
        found += page["chunks"]
        if not page["next_cursor"]:
            return sorted(found, key=lambda record: record["index"])
        cursor = {"cursor": page["next_cursor"]}


class DemoFiles:
    """The files that a newcomer can open afterwards; each run replaces those of the last."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.written: list[Path] = []

    def write_live(self, live: Mapping[str, Any]) -> None:
        """The finals as they came, and captions made of them."""
        finals: Sequence[Message] = live["finals"]
        document = {
            "schema": SCHEMA,
            "duration_ms": live["duration_ms"],
            "language": finals[0]["language"],
            "speakers": [],
            "segments": [{name: final[name] for name in SEGMENT_FIELDS} for final in finals],
        }
        captions = render(transcript_from_dict(document), "vtt").body.decode()
        self._write("live.finals.json", json.dumps(finals, ensure_ascii=False, indent=1) + "\n")
        self._write("live.vtt", captions)

    def write_job(self, name: str, texts: Mapping[str, str], manifest: Mapping[str, Any]) -> None:
        for form, text in texts.items():
            self._write(f"{name}.{form}", text)
        self._write(f"{name}.manifest.json", json.dumps(manifest, ensure_ascii=False, indent=1) + "\n")

    def _write(self, name: str, text: str) -> None:
        path = self._folder / name
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise StorageFailed(
                "demo_unwritable",
                f"{path} cannot be written ({error.strerror}). Make room, or choose another folder with --data.",
                field="data",
            ) from error
        self.written.append(path)
