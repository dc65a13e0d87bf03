"""The batch lane when things go wrong: engines that fail, recordings and options refused, full disks."""

from __future__ import annotations

import asyncio
import json
import resource
from dataclasses import replace

import pytest
from job_server import LIMITS, RATE, batch_lane, recording, sentences, write_wav

from speechlane.batch.states import JobState
from speechlane.engine.scripted import ScriptedEngine
from speechlane.engine.scripted_audio import position_of
from speechlane.errors import EngineFailed, SpeechlaneError, StorageFailed

pytestmark = pytest.mark.integration

SCRIPT = sentences(5)
TEXTS = [" one two three.", " ONE TWO THREE."]


def in_third_chunk(request) -> bool:
    return SCRIPT[6].start - RATE < position_of(request.samples) < SCRIPT[6].start


@pytest.fixture
def speech(tmp_path):
    return write_wav(tmp_path / "speech.wav", recording(SCRIPT))


def test_an_engine_that_fails_for_a_moment_is_asked_again(tmp_path, speech) -> None:
    """Two failures in a row cost no chunk."""
    hiccup = EngineFailed("engine_failed", "It raised.")

    async def main() -> None:
        engine = ScriptedEngine(SCRIPT, failures=[hiccup, None, hiccup])
        async with batch_lane(tmp_path / "data", SCRIPT, engine=engine) as lane:
            job = await lane.finished(speech)
            assert (job.state, job.progress) == (JobState.SUCCEEDED, (5, 5))

    asyncio.run(main())


def test_an_engine_that_keeps_failing_fails_the_job(tmp_path, speech) -> None:
    """The job shows the error's fields and what was transcribed before it; no artifact or working copy remains."""

    async def break_at_third(request) -> None:
        if in_third_chunk(request):
            raise EngineFailed("engine_failed", "The model raised.", retryable=False)

    async def main() -> None:
        engine = ScriptedEngine(SCRIPT, before_answer=break_at_third)
        async with batch_lane(tmp_path / "data", SCRIPT, engine=engine) as lane:
            job = await lane.finished(speech)
            assert job.state is JobState.FAILED
            assert {key: job.error[key] for key in ("code", "message", "fault", "retryable")} == {
                "code": "engine_failed",
                "message": "The model raised.",
                "fault": "engine",
                "retryable": False,
            }
            document = await lane.service.transcript("default", job.id, "json")
            transcript = json.loads(document.body)
            assert (document.partial, transcript["partial"]) == (True, True)
            assert [segment["text"] for segment in transcript["segments"]] == TEXTS
            assert len(await lane.registry.chain("default", job=job.id)) == 2
            assert list(lane.folder.work.iterdir()) == []
            assert [name for name in lane.files() if "jobs" in name] == []

    asyncio.run(main())


def test_a_fault_of_our_own_fails_the_job_and_tells_no_inside(tmp_path, speech) -> None:
    """What no one foresaw ends the job with an id to tell the operator, not with the exception's text."""

    async def burst(_request) -> None:
        raise ZeroDivisionError("secret inside")

    async def main() -> None:
        async with batch_lane(tmp_path / "data", SCRIPT, engine=ScriptedEngine(SCRIPT, before_answer=burst)) as lane:
            job = await lane.finished(speech)
            assert (job.state, job.error["code"]) == (JobState.FAILED, "server_fault")
            assert "secret" not in json.dumps(job.as_wire())
            assert job.id in job.error["message"]

    asyncio.run(main())


def test_a_cut_off_recording_is_transcribed_as_far_as_it_goes(tmp_path, speech) -> None:
    """The job succeeds on what is readable and warns that the rest is missing."""
    cut = tmp_path / "cut.wav"
    cut.write_bytes(speech.read_bytes()[: 80 + 7 * RATE * 4])

    async def main() -> None:
        async with batch_lane(tmp_path / "data", SCRIPT) as lane:
            job = await lane.finished(cut)
            assert (job.state, [warning["code"] for warning in job.warnings]) == (JobState.SUCCEEDED, ["truncated"])
            transcript = await lane.transcript(job)
            assert [segment["text"] for segment in transcript["segments"]] == TEXTS

    asyncio.run(main())


def test_a_refused_input_leaves_nothing_behind(tmp_path, speech) -> None:
    """Each error names its field; there is no job, no object and no file in the work folder."""
    whole = speech.read_bytes()
    letter = b"This is a letter, not a recording.\n" * 50
    refused = (
        (b"", {}, "empty_file", "file"),
        (letter, {}, "not_audio", "file"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", {}, "unreadable_audio", "file"),
        (whole, {"language": "fr"}, "unsupported_language", "language"),
        (whole, {"track": 3}, "no_such_track", "track"),
        (whole, {"diarize": {"mode": "speaker"}}, "not_offered", "diarize.mode"),
        (whole, {"route": {"model": "base"}}, "unknown_model", "route.model"),
        (whole, {"langauge": "en"}, "unknown_field", "langauge"),
        (whole, ["language"], "invalid_option", "options"),
    )

    async def main() -> None:
        async with batch_lane(tmp_path / "data", SCRIPT) as lane:
            for content, options, code, field in refused:
                async with lane.service.spool() as spool:
                    await spool.write(content)
                    with pytest.raises(SpeechlaneError) as caught:
                        await lane.service.submit("default", spool, "posted", options)
                assert (caught.value.code, caught.value.field, caught.value.fault) == (code, field, "client")
                assert lane.files() == []
                assert await lane.store.unfinished() == []

    asyncio.run(main())


def test_a_recording_over_the_limits_is_refused(tmp_path, speech) -> None:
    """Too many bytes are refused while they arrive, too long a recording by its header."""

    async def main() -> None:
        tight = replace(LIMITS, max_upload_bytes=1000, max_duration_ms=10_000)
        async with batch_lane(tmp_path / "data", SCRIPT, limits=tight) as lane:
            async with lane.service.spool() as spool:
                await spool.write(b"x" * 1000)
                with pytest.raises(SpeechlaneError) as caught:
                    await spool.write(b"x")
            assert (caught.value.code, caught.value.limit) == ("upload_too_large", 1000)
        long = replace(LIMITS, max_duration_ms=10_000)
        async with batch_lane(tmp_path / "data", SCRIPT, limits=long) as lane:
            with pytest.raises(SpeechlaneError) as caught:
                await lane.submit(speech)
            assert (caught.value.code, caught.value.limit) == ("too_long", 10_000)
            assert lane.files() == []

    asyncio.run(main())


def test_a_full_disk_refuses_the_recording_whole(tmp_path, speech) -> None:
    """While it is spooled or stored: a storage error that names the folder, and nothing remains."""

    async def main() -> None:
        async with batch_lane(tmp_path / "data", SCRIPT) as lane:
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
            try:
                with pytest.raises(StorageFailed) as caught:
                    await lane.submit(speech)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            assert str(lane.folder.work) in caught.value.message
            assert lane.files() == []
            assert await lane.store.unfinished() == []
            assert (await lane.finished(speech)).state is JobState.SUCCEEDED, "with room again all is well"

    asyncio.run(main())
