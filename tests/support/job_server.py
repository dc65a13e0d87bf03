"""The batch lane on real stores in a folder, with scripted engines: recordings that say what is spoken in them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import soundfile
from fastapi import APIRouter, FastAPI

from speechlane.batch.job import Job
from speechlane.batch.states import ENDED
from speechlane.diarization import SpeakerBounds, Turn
from speechlane.engine import Diarizer, DiarizerIdentity, Engine, SpeechGateModel
from speechlane.engine.scripted import ScriptedEngine, ScriptedGate, ScriptedWord
from speechlane.engine.scripted_audio import scripted_samples
from speechlane.runtime.durable import DurableRunner
from speechlane.runtime.jobs import JobLimits, JobService
from speechlane.server.app import create_app
from speechlane.server.auth import Authenticator
from speechlane.storage.database import Database
from speechlane.storage.folder import DataFolder, held_data_folder
from speechlane.storage.jobs import SqlJobStore
from speechlane.storage.objects import ObstoreObjects
from speechlane.storage.registry import SqlRegistry

RATE = 16_000
LIMITS = JobLimits(max_upload_bytes=20_000_000, max_duration_ms=600_000)


def sentences(count: int, *, pause_s: float = 3.0, words: str = "one two three.") -> tuple[ScriptedWord, ...]:
    """A script of sentences, half a second a word, with pauses long enough to part chunks."""
    script, at = [], RATE // 2
    for number in range(count):
        for token in words.split():
            text = f" {token}" if number % 2 == 0 else f" {token.upper()}"
            script.append(ScriptedWord(text, at, at + RATE // 2))
            at += RATE // 2
        at += round(pause_s * RATE)
    return tuple(script)


def recording(script: Sequence[ScriptedWord], *, tail_s: float = 1.0) -> np.ndarray:
    """The carrier of a script as float32 samples at 16 kHz."""
    return np.frombuffer(scripted_samples(0, script[-1].end + round(tail_s * RATE)), np.float32)


def write_wav(path: Path, samples: np.ndarray) -> Path:
    """A 32-bit float WAV file: it keeps the carrier to the bit."""
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    return path


@dataclass(slots=True)
class ScriptedDiarizer:
    """A `Diarizer` that answers with given turns, whatever it hears; ``asked`` keeps the bounds of each call."""

    turns: Sequence[Turn]
    asked: list[SpeakerBounds] = field(default_factory=list)

    @property
    def identity(self) -> DiarizerIdentity:
        return DiarizerIdentity("scripted", "1", (("turns", "0" * 64),))

    async def diarize(self, samples: np.ndarray, bounds: SpeakerBounds) -> Sequence[Turn]:
        self.asked.append(bounds)
        return [turn for turn in self.turns if turn.start < len(samples)]


@dataclass(frozen=True, slots=True)
class Lane:
    """An open batch lane with its parts."""

    folder: DataFolder
    service: JobService
    store: SqlJobStore
    registry: SqlRegistry
    objects: ObstoreObjects
    app: FastAPI
    http: httpx.AsyncClient

    async def submit(self, path: Path, options: object = None, *, tenant: str = "default") -> Job:
        """The file at ``path`` posted as a job."""
        async with self.service.spool() as spool:
            await spool.write(await asyncio.to_thread(path.read_bytes))
            return await self.service.submit(tenant, spool, path.name, {} if options is None else options)

    async def finished(self, path: Path, options: object = None) -> Job:
        """The same, when it has ended."""
        job = await self.submit(path, options)
        job = await self.service.wait("default", job.id, 100)
        assert job.state in ENDED, job.state
        return job

    async def transcript(self, job: Job) -> dict[str, Any]:
        """The job's transcript as JSON values."""
        return json.loads((await self.service.transcript("default", job.id, "json")).body)

    async def until(self, job_id: str, reached: Callable[[Job], bool]) -> Job:
        """The job as soon as it is so, or it has ended; for what goes on while the caller holds the engine back."""
        async with asyncio.timeout(60):
            while True:
                job = await self.store.get(job_id)
                if reached(job) or job.state in ENDED:
                    return job
                await asyncio.sleep(0.01)

    async def until_files(self, there: bool) -> None:
        """Return when there are files (see `files`), or none any more."""
        async with asyncio.timeout(60):
            while bool(self.files()) != there:  # noqa: ASYNC110 - a folder has no event
                await asyncio.sleep(0.01)

    def files(self) -> list[str]:
        """Every file of the object store and the work folder, by relative path."""
        roots = (self.folder.objects, self.folder.work)
        found = (path for root in roots for path in root.rglob("*") if path.is_file())
        return sorted(str(path.relative_to(self.folder.root)) for path in found)


@asynccontextmanager
async def batch_lane(
    data: Path,
    script: Sequence[ScriptedWord] = (),
    *,
    engine: Engine | None = None,
    gate: SpeechGateModel | None = None,
    diarizer: Diarizer | None = None,
    limits: JobLimits = LIMITS,
    keys: dict[str, str] | None = None,
    routers: Sequence[APIRouter] = (),
) -> AsyncIterator[Lane]:
    """The lane started on a data folder, with an HTTP client on its doors; interrupted as on SIGTERM when left."""
    engine = engine or ScriptedEngine(script)
    with held_data_folder(data) as folder:
        database = await Database.open(str(folder.database))
        store, registry = SqlJobStore(database), SqlRegistry(database)
        objects = ObstoreObjects.in_folder(folder.objects)
        service = JobService(
            jobs=store,
            objects=objects,
            registry=registry,
            engine=engine,
            gate=gate or ScriptedGate(script),
            diarizer=diarizer,
            runner=DurableRunner(folder.workflow_database),
            work=folder.work,
            limits=limits,
        )

        async def ready() -> None:
            return None

        app = create_app(
            jobs=service,
            registry=registry,
            engines=[engine],
            authenticator=Authenticator(keys or {}),
            ready=ready,
            routers=routers,
        )
        try:
            await service.start()
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8700", timeout=60) as http:
                yield Lane(folder, service, store, registry, objects, app, http)
        finally:
            await service.aclose()
            await database.aclose()
