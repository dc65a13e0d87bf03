"""The batch lane end to end on real stores, with engines that follow a script: results, records, refusals, failures."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import resource
from dataclasses import dataclass, replace

import numpy as np
import pytest
from job_server import LIMITS, RATE, ScriptedDiarizer, batch_lane, recording, sentences, write_wav

from speechlane.batch.states import JobState
from speechlane.diarization import SpeakerBounds, Turn, parse_rttm
from speechlane.engine.scripted import ScriptedEngine
from speechlane.engine.scripted_audio import position_of
from speechlane.errors import EngineFailed, NotFound, SpeechlaneError, StorageFailed
from speechlane.provenance import GENESIS

pytestmark = pytest.mark.integration

SCRIPT = sentences(5)
TEXTS = [" one two three.", " ONE TWO THREE."]


async def submit(lane, path, options=None, *, tenant="default"):
    """The file at ``path`` posted as a job."""
    async with lane.service.spool() as spool:
        await spool.write(path.read_bytes())
        return await lane.service.submit(tenant, spool, path.name, options or {})


async def finished(lane, path, options=None):
    """The same, when it has ended."""
    job = await submit(lane, path, options)
    job = await lane.service.wait("default", job.id, 60)
    assert job.state in {JobState.SUCCEEDED, JobState.FAILED}
    return job


def in_third_chunk(request) -> bool:
    return SCRIPT[6].start - RATE < position_of(request.samples) < SCRIPT[6].start


@pytest.fixture
def speech(tmp_path):
    return write_wav(tmp_path / "speech.wav", recording(SCRIPT))


def test_a_recording_becomes_a_transcript_with_its_records(tmp_path, speech) -> None:
    """Text, times, chain, manifest, artifacts and timeline agree; nothing is left in the work folder."""

    async def main() -> None:
        async with batch_lane(tmp_path / "data", SCRIPT) as lane:
            job = await finished(lane, speech, {"language": "en"})
            assert (job.state, job.error, job.progress, job.attempts) == (JobState.SUCCEEDED, None, (5, 5), 1)
            assert (job.route.engine, job.route.model, job.route.locale) == ("scripted", "script", "en")
            assert list(job.timeline) == ["received", "stored", "queued", "started", "transcribed", "published"]
            assert list(job.timeline.values()) == sorted(job.timeline.values())

            transcript = json.loads((await lane.service.transcript("default", job.id, "json")).body)
            assert [segment["text"] for segment in transcript["segments"]] == [TEXTS[n % 2] for n in range(5)]
            assert "partial" not in transcript
            starts = [word["start_ms"] for segment in transcript["segments"] for word in segment["words"]]
            assert starts == [word.start * 1000 // RATE for word in SCRIPT]

            records = await lane.registry.chain("default", job=job.id)
            assert [record.index for record in records] == list(range(5))
            assert records[0].previous == GENESIS
            assert all(after.previous == before.hash for before, after in itertools.pairwise(records))
            assert all(record.hash == record.expected_hash() for record in records)
            text = transcript["segments"][1]["text"]
            assert records[1].text_sha256 == hashlib.sha256(text.encode()).hexdigest()
            assert (records[1].locale_requested, records[1].locale_detected, records[1].attempt) == ("en", None, 1)
            cut = recording(SCRIPT)[records[1].start_ms * 16 : records[1].end_ms * 16]
            assert records[1].audio_sha256 == hashlib.sha256(cut.tobytes()).hexdigest()

            manifest = json.loads((await lane.service.manifest("default", job.id)).body)
            assert manifest["input"]["sha256"] == hashlib.sha256(speech.read_bytes()).hexdigest()
            assert [chunk["hash"] for chunk in manifest["chunks"]] == [record.hash for record in records]
            assert manifest["diarizer"] is None
            for name, facts in {**manifest["outputs"], "manifest.json": job.outputs["manifest.json"]}.items():
                stored = await lane.objects.get(f"jobs/{job.id}/{name}")
                assert (len(stored), hashlib.sha256(stored).hexdigest()) == (facts["bytes"], facts["sha256"])
            stored_input = await lane.objects.get(f"inputs/{job.input.sha256[:2]}/{job.input.sha256}")
            assert stored_input == speech.read_bytes()
            assert list(lane.folder.work.iterdir()) == []

    asyncio.run(main())


def test_speakers_are_told_apart_where_asked(tmp_path, speech) -> None:
    """The diarizer gets the bounds; its turns name words and segments, and the manifest names the diarizer."""
    turns = [Turn(0, 8 * RATE, "S1"), Turn(8 * RATE, 100 * RATE, "S2")]
    diarizer = ScriptedDiarizer(turns)

    async def main() -> None:
        async with batch_lane(tmp_path / "data", SCRIPT, diarizer=diarizer) as lane:
            job = await finished(lane, speech, {"diarize": {"mode": "speaker", "max": 3}})
            transcript = json.loads((await lane.service.transcript("default", job.id, "json")).body)
            assert [segment["speaker"] for segment in transcript["segments"]] == ["S1", "S1", "S2", "S2", "S2"]
            assert transcript["speakers"] == ["S1", "S2"]
            assert b"<v S2>" in (await lane.service.transcript("default", job.id, "vtt")).body
            rttm = (await lane.service.transcript("default", job.id, "rttm")).body.decode()
            assert parse_rttm(rttm) == {job.id: tuple(turns)}, "the diarizer's own turns"
            manifest = json.loads((await lane.service.manifest("default", job.id)).body)
            assert manifest["diarizer"]["diarizer"] == "scripted"
            assert list(job.timeline)[-2:] == ["diarized", "published"]
            plain = await finished(lane, speech)
            with pytest.raises(NotFound, match="no speaker turns"):
                await lane.service.transcript("default", plain.id, "rttm")
            assert diarizer.asked == [SpeakerBounds(maximum=3)], "who does not ask pays nothing"

    asyncio.run(main())


def test_a_silent_recording_has_an_empty_transcript(tmp_path) -> None:
    """Silence succeeds with no chunk, no record and no text, also where speakers are asked for."""
    silence = write_wav(tmp_path / "silence.wav", np.zeros(5 * RATE, np.float32))
    diarizer = ScriptedDiarizer([Turn(0, RATE, "S1")])

    async def main() -> None:
        async with batch_lane(tmp_path / "data", SCRIPT, diarizer=diarizer) as lane:
            job = await finished(lane, silence, {"diarize": {"mode": "speaker"}})
            assert (job.state, job.progress, job.warnings) == (JobState.SUCCEEDED, (0, 0), ())
            transcript = json.loads((await lane.service.transcript("default", job.id, "json")).body)
            assert (transcript["segments"], transcript["language"], transcript["duration_ms"]) == ([], None, 5000)
            assert (await lane.service.transcript("default", job.id, "txt")).body == b""
            assert await lane.registry.chain("default", job=job.id) == []

    asyncio.run(main())


def test_words_can_be_left_out_of_the_json(tmp_path, speech) -> None:
    """With words false the segments keep their text and times."""

    async def main() -> None:
        async with batch_lane(tmp_path / "data", SCRIPT) as lane:
            job = await finished(lane, speech, {"words": False})
            transcript = json.loads((await lane.service.transcript("default", job.id, "json")).body)
            assert [segment["words"] for segment in transcript["segments"]] == [[]] * 5
            assert transcript["segments"][0]["text"] == TEXTS[0]

    asyncio.run(main())


def test_the_language_is_detected_where_none_is_asked_for(tmp_path, speech) -> None:
    """The record says what was asked and what was found with its probability; the job's route shows it."""

    async def main() -> None:
        engine = ScriptedEngine(SCRIPT, languages=("de", "en"))
        async with batch_lane(tmp_path / "data", SCRIPT, engine=engine) as lane:
            job = await finished(lane, speech)
            record = (await lane.registry.chain("default", job=job.id))[0]
            assert (record.locale_requested, record.locale_detected, record.locale_probability) == ("auto", "de", 0.98)
            assert job.route.locale == "de"

    asyncio.run(main())


def test_a_loop_is_decoded_once_more_with_the_guard(tmp_path, speech) -> None:
    """The kept text is the second try's, and its record says so; other chunks are decoded once."""
    looping = [replace(word, loops=word is SCRIPT[3]) for word in SCRIPT]

    async def main() -> None:
        async with batch_lane(tmp_path / "data", SCRIPT, engine=ScriptedEngine(looping)) as lane:
            job = await finished(lane, speech)
            transcript = json.loads((await lane.service.transcript("default", job.id, "json")).body)
            assert transcript["segments"][1]["text"] == TEXTS[1]
            records = await lane.registry.chain("default", job=job.id)
            assert [record.attempt for record in records] == [1, 2, 1, 1, 1]
            assert [record.options["repetition_guard"] for record in records] == [False, True, False, False, False]

    asyncio.run(main())


@dataclass(slots=True)
class BreaksOff(ScriptedEngine):
    """Ends its text at the first pause of a second, unless the window is shorter than five; as small models may."""

    async def decode(self, request):
        heard = await ScriptedEngine.decode(self, request)
        pauses = (n for n, (a, b) in enumerate(itertools.pairwise(heard.words), 1) if b.start - a.end >= RATE)
        kept = next(pauses, None) if len(request.samples) > 5 * RATE else None
        return replace(heard, words=heard.words[:kept])


def test_a_text_that_breaks_off_is_decoded_in_parts(tmp_path) -> None:
    """No sentence is lost: the chunk is cut in its silences, each part is decoded and recorded by itself."""
    script = sentences(4, pause_s=1.2)
    speech = write_wav(tmp_path / "speech.wav", recording(script))

    async def main() -> None:
        async with batch_lane(tmp_path / "data", script, engine=BreaksOff(script)) as lane:
            job = await finished(lane, speech)
            assert job.progress == (1, 1)
            transcript = json.loads((await lane.service.transcript("default", job.id, "json")).body)
            assert [segment["text"] for segment in transcript["segments"]] == TEXTS * 2
            records = await lane.registry.chain("default", job=job.id)
            assert [(record.index, record.chunk_id) for record in records] == [
                (number, f"{job.id}:{number}") for number in range(len(records))
            ]
            assert [record.attempt for record in records] == [2, 3, 4, 4], "one sentence more is heard with each cut"
            assert all(after.previous == before.hash for before, after in itertools.pairwise(records))
            assert all(after.start_ms == before.end_ms for before, after in itertools.pairwise(records))

    asyncio.run(main())


def test_an_engine_that_fails_for_a_moment_is_asked_again(tmp_path, speech) -> None:
    """Two failures in a row cost no chunk."""
    hiccup = EngineFailed("engine_failed", "It raised.")

    async def main() -> None:
        engine = ScriptedEngine(SCRIPT, failures=[hiccup, None, hiccup])
        async with batch_lane(tmp_path / "data", SCRIPT, engine=engine) as lane:
            job = await finished(lane, speech)
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
            job = await finished(lane, speech)
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
            job = await finished(lane, speech)
            assert (job.state, job.error["code"]) == (JobState.FAILED, "server_fault")
            assert "secret" not in json.dumps(job.as_wire())
            assert job.id in job.error["message"]

    asyncio.run(main())


def test_a_job_in_progress_shows_what_is_recorded_so_far(tmp_path, speech) -> None:
    """Progress and the partial transcript hold exactly the chunks whose records are in the registry."""

    async def main() -> None:
        go_on = asyncio.Event()

        async def wait_at_third(request) -> None:
            if in_third_chunk(request):
                await go_on.wait()

        engine = ScriptedEngine(SCRIPT, before_answer=wait_at_third)
        async with batch_lane(tmp_path / "data", SCRIPT, engine=engine) as lane:
            job = await submit(lane, speech)
            now = await lane.until(job.id, lambda now: now.progress == (2, 5))
            assert now.state is JobState.PROCESSING
            transcript = json.loads((await lane.service.transcript("default", job.id, "json")).body)
            assert (transcript["partial"], len(transcript["segments"])) == (True, 2)
            assert len(await lane.registry.chain("default", job=job.id)) == 2
            with pytest.raises(SpeechlaneError) as caught:
                await lane.service.manifest("default", job.id)
            assert (caught.value.code, caught.value.retryable) == ("job_not_succeeded", True)
            go_on.set()
            assert (await lane.service.wait("default", job.id, 30)).state is JobState.SUCCEEDED

    asyncio.run(main())


def test_a_cut_off_recording_is_transcribed_as_far_as_it_goes(tmp_path, speech) -> None:
    """The job succeeds on what is readable and warns that the rest is missing."""
    cut = tmp_path / "cut.wav"
    cut.write_bytes(speech.read_bytes()[: 80 + 7 * RATE * 4])

    async def main() -> None:
        async with batch_lane(tmp_path / "data", SCRIPT) as lane:
            job = await finished(lane, cut)
            assert (job.state, [warning["code"] for warning in job.warnings]) == (JobState.SUCCEEDED, ["truncated"])
            transcript = json.loads((await lane.service.transcript("default", job.id, "json")).body)
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
                await submit(lane, speech)
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
                    await submit(lane, speech)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            assert str(lane.folder.work) in caught.value.message
            assert lane.files() == []
            assert await lane.store.unfinished() == []
            assert (await finished(lane, speech)).state is JobState.SUCCEEDED, "with room again all is well"

    asyncio.run(main())


def test_the_same_recording_twice_is_stored_once(tmp_path, speech) -> None:
    """Two jobs, one object; both jobs succeed with the same text."""

    async def main() -> None:
        async with batch_lane(tmp_path / "data", SCRIPT) as lane:
            first, second = await asyncio.gather(finished(lane, speech), finished(lane, speech))
            assert first.id != second.id
            assert first.outputs["transcript.json"] == second.outputs["transcript.json"]
            assert len([path for path in (lane.folder.objects / "inputs").rglob("*") if path.is_file()]) == 1

    asyncio.run(main())
