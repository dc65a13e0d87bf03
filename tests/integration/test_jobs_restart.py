"""Jobs outlive their process: interrupted, killed, half-submitted, or killing it themselves."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
from dataclasses import replace

import job_process
import pytest
from job_server import batch_lane, recording, sentences, write_wav

from speechlane.batch.states import JobState
from speechlane.engine.scripted import ScriptedEngine
from speechlane.provenance import GENESIS
from speechlane.runtime.jobs_workflow import AHEAD, MAX_ATTEMPTS

pytestmark = pytest.mark.integration

SCRIPT = sentences(6)
CHUNKS, LONG_SCRIPT = job_process.CHUNKS, job_process.SCRIPT


@pytest.fixture
def speech(tmp_path):
    return write_wav(tmp_path / "speech.wav", recording(SCRIPT))


def counting(script, decodes, *, stop_after=None, stopped=None):
    """An engine that counts its decodes and, after so many, answers no more."""

    async def before_answer(_request) -> None:
        decodes.append(1)
        if stop_after is not None and len(decodes) > stop_after:
            stopped.set()
            await asyncio.Event().wait()

    return ScriptedEngine(script, before_answer=before_answer)


def check_chain(records, count) -> None:
    """Each chunk has one record, and the chain is whole."""
    assert [record.index for record in records] == list(range(count))
    assert records[0].previous == GENESIS
    assert all(after.previous == before.hash for before, after in itertools.pairwise(records))


def test_an_interrupted_job_goes_on_where_it_was(tmp_path, speech) -> None:
    """After a stop and a start only the rest is decoded; the text is whole; the stop counts as no attempt."""

    async def main() -> None:
        before, stopped = [], asyncio.Event()
        async with batch_lane(
            tmp_path / "data", SCRIPT, engine=counting(SCRIPT, before, stop_after=3, stopped=stopped)
        ) as lane:
            job = await lane.submit(speech)
            await stopped.wait()
            await lane.until(job.id, lambda now: now.progress == (3, 6))
        after: list[int] = []
        async with batch_lane(tmp_path / "data", SCRIPT, engine=counting(SCRIPT, after)) as lane:
            job = await lane.service.wait("default", job.id, 60)
            assert (job.state, job.progress, job.attempts) == (JobState.SUCCEEDED, (6, 6), 1)
            assert len(after) == 3, "three were decoded before"
            check_chain(await lane.registry.chain("default", job=job.id), 6)
            transcript = await lane.transcript(job)
            assert [len(segment["words"]) for segment in transcript["segments"]] == [3] * 6
            assert list(lane.folder.work.iterdir()) == []

    asyncio.run(main())


@pytest.mark.parametrize("kills", [(0,), (3, 9)], ids=["at the first decode", "twice"])
def test_a_killed_process_loses_and_doubles_nothing(tmp_path, kills) -> None:
    """After kill -9 the next process finishes the job: each chunk recorded once, only those in flight decoded again."""
    speech = write_wav(tmp_path / "speech.wav", recording(LONG_SCRIPT))
    data, decoded = tmp_path / "data", 0
    for number, decodes in enumerate(kills):
        posted = [str(speech)] if number == 0 else []
        arguments = [sys.executable, job_process.__file__, str(data), *posted]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(decodes + 1):
                assert process.stdout.readline(), "the process ended by itself"
            process.kill()
            decoded += decodes + 1 + len(process.stdout.readlines())

    async def finish() -> None:
        rest: list[int] = []
        async with batch_lane(data, LONG_SCRIPT, engine=counting(LONG_SCRIPT, rest)) as lane:
            (job_id,) = await lane.store.unfinished()
            job = await lane.service.wait("default", job_id, 60)
            assert (job.state, job.progress, job.attempts) == (JobState.SUCCEEDED, (CHUNKS, CHUNKS), len(kills) + 1)
            check_chain(await lane.registry.chain("default", job=job_id), CHUNKS)
            transcript = await lane.transcript(job)
            words = [word["text"] for segment in transcript["segments"] for word in segment["words"]]
            assert words == [word.text for word in LONG_SCRIPT]
            assert decoded + len(rest) <= CHUNKS + AHEAD * len(kills)
            assert list(lane.folder.work.iterdir()) == []

    asyncio.run(finish())


def test_a_start_clears_what_a_killed_process_left(tmp_path, speech) -> None:
    """Half an upload, and the working copy of a job that has ended or never was, are gone."""

    async def main() -> None:
        async with batch_lane(tmp_path / "data", SCRIPT) as lane:
            job = await lane.submit(speech)
            await lane.service.wait("default", job.id, 60)
            for name in ("upload-half", f"{job.id}.f32", "job_none.f32", f"{job.id}.part"):
                (lane.folder.work / name).write_bytes(b"left behind")
        async with batch_lane(tmp_path / "data", SCRIPT) as lane:
            assert list(lane.folder.work.iterdir()) == []

    asyncio.run(main())


def test_a_job_that_was_stored_but_not_queued_is_taken_up(tmp_path, speech) -> None:
    """A process killed between the job's row and its place in the queue costs nothing."""

    async def main() -> None:
        async with batch_lane(tmp_path / "data", SCRIPT) as lane:
            done = await lane.submit(speech)
            done = await lane.service.wait("default", done.id, 60)
            await lane.store.add(
                replace(done, id="job_orphan", state=JobState.QUEUED, progress=None, attempts=0, outputs={})
            )
        async with batch_lane(tmp_path / "data", SCRIPT) as lane:
            job = await lane.service.wait("default", "job_orphan", 60)
            assert job.state is JobState.SUCCEEDED
            assert job.outputs["transcript.json"] == done.outputs["transcript.json"]

    asyncio.run(main())


def test_a_job_that_stops_the_server_each_time_is_given_up(tmp_path, speech) -> None:
    """After so many starts it fails and says why, without being run once more."""

    async def main() -> None:
        decodes: list[int] = []
        async with batch_lane(tmp_path / "data", SCRIPT) as lane:
            done = await lane.submit(speech)
            done = await lane.service.wait("default", done.id, 60)
            await lane.store.add(
                replace(done, id="job_poison", state=JobState.PROCESSING, attempts=MAX_ATTEMPTS, outputs={})
            )
        async with batch_lane(tmp_path / "data", SCRIPT, engine=counting(SCRIPT, decodes)) as lane:
            job = await lane.service.wait("default", "job_poison", 60)
            assert (job.state, job.error["code"], job.error["limit"]) == (
                JobState.FAILED,
                "too_many_attempts",
                MAX_ATTEMPTS,
            )
            assert decodes == []

    asyncio.run(main())


def test_a_job_whose_work_is_lost_fails_instead_of_hanging(tmp_path, speech) -> None:
    """Where the workflow is over and the job's row does not know it, the next start tells."""

    async def main() -> None:
        async with batch_lane(tmp_path / "data", SCRIPT) as lane:
            job = await lane.submit(speech)
            await lane.service.wait("default", job.id, 60)
            await lane.store.change(job.id, lambda now: replace(now, state=JobState.PROCESSING))
        async with batch_lane(tmp_path / "data", SCRIPT) as lane:
            job = await lane.service.wait("default", job.id, 60)
            assert (job.state, job.error["code"]) == (JobState.FAILED, "work_lost")

    asyncio.run(main())


def test_a_lost_working_copy_is_made_again(tmp_path, speech) -> None:
    """The input alone is enough to go on."""

    async def main() -> None:
        before, stopped = [], asyncio.Event()
        async with batch_lane(
            tmp_path / "data", SCRIPT, engine=counting(SCRIPT, before, stop_after=2, stopped=stopped)
        ) as lane:
            job = await lane.submit(speech)
            await stopped.wait()
            work = lane.folder.work
        (copy,) = await asyncio.to_thread(lambda: list(work.iterdir()))
        assert copy.name == f"{job.id}.f32"
        await asyncio.to_thread(copy.unlink)
        async with batch_lane(tmp_path / "data", SCRIPT) as lane:
            job = await lane.service.wait("default", job.id, 60)
            assert (job.state, job.progress) == (JobState.SUCCEEDED, (6, 6))

    asyncio.run(main())
