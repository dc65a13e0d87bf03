"""The batch lane as one service: takes recordings in, works them off, answers for them."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from speechlane.batch.job import InputFacts, Job, JobRoute
from speechlane.batch.options import JobOptions, check_diarization, parse_options
from speechlane.batch.seams import JobStore, ObjectStore
from speechlane.batch.states import ENDED, JobState
from speechlane.captions import render
from speechlane.engine import Diarizer, Engine, SpeechGateModel
from speechlane.errors import Conflict, SpeechlaneError, StorageFailed, TooLarge
from speechlane.media import MediaInfo, open_audio
from speechlane.provenance import Registry
from speechlane.router import choose_route
from speechlane.runtime.durable import DurableRunner, Step
from speechlane.runtime.jobs_audio import UPLOAD_PREFIX, Spool, open_spool
from speechlane.runtime.jobs_decode import ChunkDecoder
from speechlane.runtime.jobs_outputs import (
    MANIFEST,
    Document,
    artifact_key,
    partial_document,
    stored_document,
    stored_turns,
    transcript_of,
)
from speechlane.runtime.jobs_workflow import JobWorkflow, input_key
from speechlane.transcript import Transcript


def utc_now() -> str:
    """RFC 3339 UTC with milliseconds, e.g. ``2026-11-21T10:00:00.000Z``."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class JobLimits:
    """What a recording may be: bytes as posted, milliseconds as decoded."""

    max_upload_bytes: int
    max_duration_ms: int


class JobService:
    """Jobs of all tenants on one engine. Between `start` and `aclose` it works jobs off on the running event loop.

    Args:
        jobs: where jobs live.
        objects: where recordings and artifacts live.
        registry: where chunk records are appended.
        engine: what decodes; shared with the live lane.
        gate: what finds speech.
        diarizer: what tells speakers apart, None where nothing here does.
        runner: what makes the work durable.
        work: folder for spooled uploads and working copies, on the same machine.
        limits: what a recording may be.
        now: the clock, as RFC 3339 UTC.
    """

    def __init__(
        self,
        *,
        jobs: JobStore,
        objects: ObjectStore,
        registry: Registry,
        engine: Engine,
        gate: SpeechGateModel,
        diarizer: Diarizer | None,
        runner: DurableRunner,
        work: Path,
        limits: JobLimits,
        now: Callable[[], str] = utc_now,
    ) -> None:
        self._jobs, self._objects, self._engine = jobs, objects, engine
        self._runner, self._work, self._now = runner, work, now
        self._diarizes = diarizer is not None
        self._decoder = ChunkDecoder(engine, gate, now)
        self._workflow = JobWorkflow(
            jobs=jobs,
            objects=objects,
            registry=registry,
            decoder=self._decoder,
            diarizer=diarizer,
            work=work,
            max_duration_ms=limits.max_duration_ms,
            now=now,
        )
        self._intake = asyncio.Lock()  # between the check that an input is there and the job that needs it
        self._ended: dict[str, asyncio.Event] = {}
        self.limits = limits

    async def start(self) -> None:
        """Clear what a killed process left half-way, and take up every job that has not ended.

        Raises:
            StorageFailed: a store cannot be read or written.
        """
        unfinished = await self._jobs.unfinished()
        await asyncio.to_thread(self._clear_work, {f"{job_id}.f32" for job_id in unfinished})
        await self._runner.start(self._run)
        try:
            for job_id in unfinished:
                if await self._runner.is_over(job_id):
                    await self._jobs.change(job_id, self._lost)
                else:
                    await self._runner.enqueue(job_id)
        except BaseException:
            await self._runner.aclose()
            raise

    async def aclose(self) -> None:
        """Interrupt what runs; the next start goes on from its checkpoints."""
        await self._runner.aclose()

    def spool(self) -> AbstractAsyncContextManager[Spool]:
        """A place to write an upload to, before `submit`; gone when its context is left.

        Raises:
            StorageFailed: ``work_folder_failed``.
        """
        return open_spool(self._work, self.limits.max_upload_bytes)

    async def submit(self, tenant: str, upload: Spool, filename: str | None, options: object) -> Job:
        """Check a recording and its options, store both, and have the job worked off.

        Args:
            tenant: whose job it is.
            upload: the whole recording.
            filename: what the client calls it, if it told; shown, never used as a path.
            options: JSON values as the client sent them (see `parse_options`).

        Raises:
            InvalidInput: an option, or the recording (InvalidAudio, TooLarge), cannot be taken.
            StorageFailed: it cannot be stored. After any error nothing of the job remains.
        """
        received = self._now()
        wishes = parse_options(options)
        check_diarization(wishes, offered=self._diarizes)
        route = choose_route(wishes.route, wishes.language, [(self._engine.identity, self._engine.capabilities)])
        await upload.flush()
        info = await asyncio.to_thread(self._look_at, upload.path, wishes)
        job = Job(
            id=f"job_{secrets.token_hex(12)}",
            tenant=tenant,
            state=JobState.QUEUED,
            created_at=received,
            updated_at=received,
            input=InputFacts(
                sha256=upload.sha256,
                bytes=upload.bytes,
                filename=filename,
                duration_ms=info.duration_ms,
                sample_rate=info.sample_rate,
                channels=info.channels,
                container=info.container,
                codec=info.codec,
            ),
            options=wishes,
            route=JobRoute(
                engine=route.identity.engine,
                model=route.identity.model,
                revision=route.identity.model_revision,
                locale=wishes.language,
                reason=route.reason,
            ),
            timeline={"received": received},
        )
        async with self._intake:
            job = await self._stored(job, upload.path)
        try:
            await self._runner.enqueue(job.id)
        except Exception as error:
            failure = StorageFailed(
                "database_failed", "The job could not be queued. Check the data folder and post it again.", field="data"
            )
            await self._jobs.change(job.id, lambda now: now.failed(failure.as_fields(), self._now()))
            raise failure from error
        return job

    async def get(self, tenant: str, job_id: str) -> Job:
        """One job of the tenant.

        Raises:
            NotFound: ``unknown_job``.
        """
        return await self._jobs.get(job_id, tenant=tenant)

    async def wait(self, tenant: str, job_id: str, timeout_s: float) -> Job:
        """The job when it has ended, or as it is when the time is over.

        Raises:
            NotFound: ``unknown_job``.
        """
        ended = self._ended.setdefault(job_id, asyncio.Event())  # first, so that no end is missed
        job = await self.get(tenant, job_id)
        if job.state in ENDED:
            self._ended.pop(job_id, None)
            return job
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), timeout_s)
        return await self.get(tenant, job_id)

    async def transcript(self, tenant: str, job_id: str, file_format: str) -> Document:
        """The transcript as a file; of a job that has not succeeded the segments so far, marked partial.

        ``rttm`` gives the speaker turns, which are there when the job has succeeded.

        Raises:
            NotFound: ``unknown_job``, ``no_turns``.
            InvalidInput: ``unsupported_format``.
            Conflict: ``job_not_succeeded``, for ``rttm``.
        """
        if file_format == "rttm":
            return await stored_turns(await self._succeeded(tenant, job_id), self._objects)
        render(Transcript((), 0), file_format)  # refuses an unknown format before anything is read
        job = await self.get(tenant, job_id)
        if job.state is JobState.SUCCEEDED:
            return await stored_document(job, file_format, self._objects)
        done = job.progress[0] if job.progress is not None else 0
        texts = (await self._jobs.chunks(job_id))[:done]  # what is decoded ahead is not recorded yet
        transcript = transcript_of(texts, (), job.input.duration_ms or 0, self._decoder)
        return partial_document(transcript, file_format, job)

    async def manifest(self, tenant: str, job_id: str) -> Document:
        """The manifest of a job that has succeeded.

        Raises:
            NotFound: ``unknown_job``.
            Conflict: ``job_not_succeeded``.
        """
        job = await self._succeeded(tenant, job_id)
        body = await self._objects.get(artifact_key(job_id, MANIFEST))
        return Document(body, "application/json", job.outputs[MANIFEST]["sha256"], partial=False)

    async def _succeeded(self, tenant: str, job_id: str) -> Job:
        job = await self.get(tenant, job_id)
        if job.state is not JobState.SUCCEEDED:
            raise Conflict(
                "job_not_succeeded",
                f"The job is {job.state}; this is written when it succeeds. Ask again then.",
                field="state",
                retryable=job.state not in ENDED,
            )
        return job

    async def _run(self, job_id: str, step: Step) -> None:
        await self._workflow(job_id, step)
        if ended := self._ended.pop(job_id, None):
            ended.set()

    def _look_at(self, path: Path, options: JobOptions) -> MediaInfo:
        """Open the recording and decode its first second: what fails here is refused, not queued to fail later."""
        with open_audio(path, track=options.track, max_duration_ms=self.limits.max_duration_ms) as audio:
            declared = audio.info.duration_ms
            if declared is not None and declared > self.limits.max_duration_ms:
                raise TooLarge(
                    "too_long",
                    f"The recording lasts {declared} ms; at most {self.limits.max_duration_ms} ms are taken. Send it in"
                    " parts.",
                    field="file",
                    limit=self.limits.max_duration_ms,
                )
            next(audio.blocks(), None)
            return audio.info

    async def _stored(self, job: Job, path: Path) -> Job:
        key = input_key(job.input.sha256)
        await self._objects.put_file(key, str(path))
        stored = self._now()
        job = job.entered(JobState.QUEUED, stored, stage="stored").entered(JobState.QUEUED, stored, stage="queued")
        try:
            await self._jobs.add(job)
        except BaseException:
            with contextlib.suppress(SpeechlaneError):
                if not await self._jobs.uses_input(job.input.sha256):
                    await self._objects.delete(key)
            raise
        return job

    def _lost(self, job: Job) -> Job:
        if job.state in ENDED:
            return job
        error = SpeechlaneError(
            "work_lost",
            "The job's work ended without a result, for example because the disk was full. Post the recording again.",
        )
        return job.failed(error.as_fields(), self._now())

    def _clear_work(self, kept: set[str]) -> None:
        for path in self._work.iterdir():
            if path.name.startswith(UPLOAD_PREFIX) or (path.suffix in {".f32", ".part"} and path.name not in kept):
                path.unlink(missing_ok=True)
