"""One job from its stored input to its published transcript, as a durable workflow.

Steps: ``prepare`` (decode, score, cut) -> ``chunk 0``, ``chunk 1`` ... -> ``diarize`` -> ``publish``. A chunk's text is
stored under its index before its record is appended, and the record before the chunk counts as done: a step that is
run again after a crash finds the text, so it neither decodes nor records twice. Chunks are decoded a few ahead of the
step that records them, in order, so that an engine may batch them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from speechlane.audio import Samples
from speechlane.batch.chunking import Chunk, Span, plan_chunks
from speechlane.batch.job import Job
from speechlane.batch.merge import ChunkText
from speechlane.batch.seams import JobStore, ObjectStore
from speechlane.batch.states import ENDED, JobState
from speechlane.diarization import Turn
from speechlane.engine import Diarizer
from speechlane.errors import SpeechlaneError
from speechlane.provenance import GENESIS, Registry
from speechlane.runtime.durable import Step
from speechlane.runtime.jobs_audio import Heard, WorkingCopy
from speechlane.runtime.jobs_decode import ChunkDecoder
from speechlane.runtime.jobs_outputs import publish

_LOGGER = logging.getLogger(__name__)

AHEAD = 4
"""Chunks of one job that may be decoded before the first of them is recorded."""

MAX_ATTEMPTS = 5
"""Starts of one job. A recording that kills the process each time must not do so for ever."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What ``prepare`` found: length in samples and the chunks to decode."""

    samples: int
    chunks: tuple[Chunk, ...]

    def as_fields(self) -> dict[str, Any]:
        """JSON values: a chunk is its start and end, and those of each stretch of speech in it."""
        chunks = [
            [chunk.span.start, chunk.span.end, [[speech.start, speech.end] for speech in chunk.speech]]
            for chunk in self.chunks
        ]
        return {"samples": self.samples, "chunks": chunks}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Plan:
        return cls(
            fields["samples"],
            tuple(
                Chunk(Span(start, end), tuple(Span(*stretch) for stretch in speech))
                for start, end, speech in fields["chunks"]
            ),
        )


class _StepFailed(Exception):
    """A step ended in an error, now or before a restart; holds the error's fields."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        super().__init__(fields["message"])
        self.fields = fields


class JobWorkflow:
    """Works off one job after another; any number at a time. ``work`` is the folder of working copies."""

    def __init__(
        self,
        *,
        jobs: JobStore,
        objects: ObjectStore,
        registry: Registry,
        decoder: ChunkDecoder,
        diarizer: Diarizer | None,
        work: Path,
        max_duration_ms: int,
        now: Callable[[], str],
    ) -> None:
        self._jobs, self._objects, self._registry = jobs, objects, registry
        self._decoder, self._diarizer = decoder, diarizer
        self._work, self._max_duration_ms, self._now = work, max_duration_ms, now

    async def __call__(self, job_id: str, step: Step) -> None:
        """Work one job off; afterwards it has ended, unless this was cancelled to be taken up later."""
        job = await self._jobs.change(job_id, self._started)
        copy = WorkingCopy(self._work / f"{job_id}.f32")
        if job.state not in ENDED:
            try:
                await self._run(job, copy, step)
            except asyncio.CancelledError:  # a stop that was asked for is no attempt that failed
                await self._jobs.change(job_id, lambda now: replace(now, attempts=now.attempts - 1))
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, the job must not stay unfinished
                fields = error.fields if isinstance(error, _StepFailed) else _error_fields(job_id, error)
                await self._jobs.change(
                    job_id, lambda now: now if now.state in ENDED else now.failed(fields, self._now())
                )
        copy.remove()

    async def _run(self, job: Job, copy: WorkingCopy, step: Step) -> None:
        plan = Plan.from_fields(await _done(job, step, "prepare", partial(self._prepare, job, copy)))
        if plan.chunks and not copy.holds(plan.samples):
            await self._make_again(job, copy, plan)
        await self._transcribe(job, plan, copy, step)
        turns: Sequence[Sequence[Any]] = []
        if job.options.diarize == "speaker":
            turns = await _done(job, step, "diarize", partial(self._diarize, job, plan, copy))
        await _done(job, step, "publish", partial(self._publish, job, plan, [Turn(*turn) for turn in turns]))

    def _started(self, job: Job) -> Job:
        if job.state in ENDED:
            return job
        if job.attempts >= MAX_ATTEMPTS:
            error = SpeechlaneError(
                "too_many_attempts",
                f"The job was started {job.attempts} times and the server stopped each time before its end. If this"
                " recording is the cause, convert it, for example to FLAC, and post it again.",
                limit=MAX_ATTEMPTS,
            )
            return job.failed(error.as_fields(), self._now())
        return job.entered(JobState.PROCESSING, self._now(), stage="started", attempts=job.attempts + 1)

    async def _prepare(self, job: Job, copy: WorkingCopy) -> dict[str, Any]:
        heard = await self._decode(job, copy)
        rules = self._decoder.chunk_rules
        chunks = await asyncio.to_thread(plan_chunks, heard.scores, heard.samples, rules)
        warnings = tuple({"code": code, "message": message} for code, message in heard.warnings)
        await self._note(job, progress=(0, len(chunks)), warnings=warnings)
        return Plan(heard.samples, chunks).as_fields()

    async def _decode(self, job: Job, copy: WorkingCopy) -> Heard:
        async with self._objects.as_file(input_key(job.input.sha256)) as recording:
            return await copy.make(
                recording,
                track=job.options.track,
                gate=self._decoder.gate,
                max_duration_ms=self._max_duration_ms,
            )

    async def _make_again(self, job: Job, copy: WorkingCopy, plan: Plan) -> None:
        heard = await self._decode(job, copy)
        if heard.samples != plan.samples:
            raise SpeechlaneError(
                "decoding_changed",
                f"The recording decodes to {heard.samples} samples now and did to {plan.samples} before: FFmpeg's"
                " libraries have changed under the job. Post the recording again.",
            )

    async def _transcribe(self, job: Job, plan: Plan, copy: WorkingCopy, step: Step) -> None:
        texts: list[asyncio.Future[ChunkText]] = []
        recorded = (0, GENESIS)  # how many records the chain has, and the last one's hash
        try:
            for index in range(len(plan.chunks)):
                while len(texts) < min(index + AHEAD, len(plan.chunks)):
                    texts.append(await self._begin(job, plan, copy, len(texts)))
                record = partial(self._record, job, plan, index, texts[index], recorded)
                recorded = await _done(job, step, f"chunk {index}", record)
        finally:
            for task in texts:
                task.cancel()
            await asyncio.gather(*texts, return_exceptions=True)
        await self._note(job, stage="transcribed")

    async def _begin(self, job: Job, plan: Plan, copy: WorkingCopy, index: int) -> asyncio.Future[ChunkText]:
        """The text of a chunk to come; the engine is asked in order of index, unless it was before a restart."""
        chunk, known = plan.chunks[index], await self._jobs.chunk(job.id, index)
        if known is not None:
            text = asyncio.get_running_loop().create_future()
            text.set_result(known)
            return text
        samples = await asyncio.to_thread(copy.read, chunk.span)
        return asyncio.create_task(self._text(job, index, chunk, samples))

    async def _text(self, job: Job, index: int, chunk: Chunk, samples: Samples) -> ChunkText:
        parts = await self._decoder.decode(job, chunk, samples)
        return await self._jobs.add_chunk(job.id, ChunkText(index, parts))

    async def _record(
        self, job: Job, plan: Plan, index: int, text: Awaitable[ChunkText], recorded: tuple[int, str]
    ) -> tuple[int, str]:
        number, previous = recorded
        for part in (await text).parts:
            sealed = replace(part.record, index=number, chunk_id=f"{job.id}:{number}").sealed(previous)
            await self._registry.append(job.tenant, sealed)
            number, previous = number + 1, sealed.hash
        await self._note(job, progress=(index + 1, len(plan.chunks)))
        return number, previous

    async def _diarize(self, job: Job, plan: Plan, copy: WorkingCopy) -> list[list[Any]]:
        assert self._diarizer is not None, "the door refuses what nothing here can do"
        turns: Sequence[Turn] = []
        if plan.chunks:
            turns = await self._diarizer.diarize(copy.whole(), job.options.bounds)
        await self._note(job, stage="diarized")
        return [[turn.start, turn.end, turn.speaker] for turn in turns]

    async def _publish(self, job: Job, plan: Plan, turns: Sequence[Turn]) -> None:
        outputs, locale = await publish(
            await self._jobs.get(job.id),
            texts=await self._jobs.chunks(job.id),
            records=await self._registry.chain(job.tenant, job=job.id),
            turns=turns,
            samples=plan.samples,
            decoder=self._decoder,
            diarizer=self._diarizer.identity if self._diarizer and job.options.diarize == "speaker" else None,
            objects=self._objects,
        )
        await self._jobs.change(job.id, lambda now: now.succeeded(self._now(), outputs=outputs, locale=locale))

    async def _note(self, job: Job, *, stage: str | None = None, **changes: Any) -> None:
        await self._jobs.change(
            job.id, lambda now: now.entered(JobState.PROCESSING, self._now(), stage=stage, **changes)
        )


def input_key(sha256: str) -> str:
    """Where a posted recording lies in the object store: by its content, so the same one lies there once."""
    return f"inputs/{sha256[:2]}/{sha256}"


async def _done(job: Job, step: Step, name: str, work: Callable[[], Awaitable[Any]]) -> Any:
    """A step's result; its error is stored with it, so that a restart ends a failed job the same way."""

    async def outcome() -> dict[str, Any]:
        try:
            return {"value": await work()}
        except Exception as error:  # noqa: BLE001 - stored, and told with the job
            return {"failure": _error_fields(job.id, error)}

    stored = await step(name, outcome)
    if "failure" in stored:
        raise _StepFailed(stored["failure"])
    return stored["value"]


def _error_fields(job_id: str, error: Exception) -> dict[str, Any]:
    if isinstance(error, SpeechlaneError):
        _LOGGER.warning("job %s: %s [%s]", job_id, error.message, error.code)
        return error.as_fields()
    _LOGGER.error("job %s failed by a fault of the server", job_id, exc_info=error)
    return SpeechlaneError(
        "server_fault",
        f"The server failed on this job. Post it again; if it happens again, tell the operator the id {job_id}.",
        retryable=True,
    ).as_fields()
