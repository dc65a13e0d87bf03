"""The batch lane end to end on real stores, with engines that follow a script: results, records, progress."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
from job_server import RATE, ScriptedDiarizer, batch_lane, recording, sentences, write_wav

from speechlane.batch.states import JobState
from speechlane.diarization import SpeakerBounds, Turn, parse_rttm
from speechlane.engine.scripted import ScriptedEngine
from speechlane.engine.scripted_audio import position_of
from speechlane.errors import NotFound, SpeechlaneError
from speechlane.provenance import GENESIS

pytestmark = pytest.mark.integration

SCRIPT = sentences(5)
TEXTS = [" one two three.", " ONE TWO THREE."]


def in_third_chunk(request) -> bool:
    return SCRIPT[6].start - RATE < position_of(request.samples) < SCRIPT[6].start


@pytest.fixture
def speech(tmp_path):
    return write_wav(tmp_path / "speech.wav", recording(SCRIPT))


def test_a_recording_becomes_a_transcript_with_its_records(tmp_path, speech) -> None:
    """Text, times, chain, manifest, artifacts and timeline agree; nothing is left in the work folder."""

    async def main() -> None:
        async with batch_lane(tmp_path / "data", SCRIPT) as lane:
            job = await lane.finished(speech, {"language": "en"})
            assert (job.state, job.error, job.progress, job.attempts) == (JobState.SUCCEEDED, None, (5, 5), 1)
            assert (job.route.engine, job.route.model, job.route.locale) == ("scripted", "script", "en")
            assert list(job.timeline) == ["received", "stored", "queued", "started", "transcribed", "published"]
            assert list(job.timeline.values()) == sorted(job.timeline.values())

            transcript = await lane.transcript(job)
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
            job = await lane.finished(speech, {"diarize": {"mode": "speaker", "max": 3}})
            transcript = await lane.transcript(job)
            assert [segment["speaker"] for segment in transcript["segments"]] == ["S1", "S1", "S2", "S2", "S2"]
            assert transcript["speakers"] == ["S1", "S2"]
            assert b"<v S2>" in (await lane.service.transcript("default", job.id, "vtt")).body
            rttm = (await lane.service.transcript("default", job.id, "rttm")).body.decode()
            assert parse_rttm(rttm) == {job.id: tuple(turns)}, "the diarizer's own turns"
            manifest = json.loads((await lane.service.manifest("default", job.id)).body)
            assert manifest["diarizer"]["diarizer"] == "scripted"
            assert list(job.timeline)[-2:] == ["diarized", "published"]
            plain = await lane.finished(speech)
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
            job = await lane.finished(silence, {"diarize": {"mode": "speaker"}})
            assert (job.state, job.progress, job.warnings) == (JobState.SUCCEEDED, (0, 0), ())
            transcript = await lane.transcript(job)
            assert (transcript["segments"], transcript["language"], transcript["duration_ms"]) == ([], None, 5000)
            assert (await lane.service.transcript("default", job.id, "txt")).body == b""
            assert await lane.registry.chain("default", job=job.id) == []

    asyncio.run(main())


def test_words_can_be_left_out_of_the_json(tmp_path, speech) -> None:
    """With words false the segments keep their text and times."""

    async def main() -> None:
        async with batch_lane(tmp_path / "data", SCRIPT) as lane:
            job = await lane.finished(speech, {"words": False})
            transcript = await lane.transcript(job)
            assert [segment["words"] for segment in transcript["segments"]] == [[]] * 5
            assert transcript["segments"][0]["text"] == TEXTS[0]

    asyncio.run(main())


def test_the_language_is_detected_where_none_is_asked_for(tmp_path, speech) -> None:
    """The record says what was asked and what was found with its probability; the job's route shows it."""

    async def main() -> None:
        engine = ScriptedEngine(SCRIPT, languages=("de", "en"))
        async with batch_lane(tmp_path / "data", SCRIPT, engine=engine) as lane:
            job = await lane.finished(speech)
            record = (await lane.registry.chain("default", job=job.id))[0]
            assert (record.locale_requested, record.locale_detected, record.locale_probability) == ("auto", "de", 0.98)
            assert job.route.locale == "de"

    asyncio.run(main())


def test_a_loop_is_decoded_once_more_with_the_guard(tmp_path, speech) -> None:
    """The kept text is the second try's, and its record says so; other chunks are decoded once."""
    looping = [replace(word, loops=word is SCRIPT[3]) for word in SCRIPT]

    async def main() -> None:
        async with batch_lane(tmp_path / "data", SCRIPT, engine=ScriptedEngine(looping)) as lane:
            job = await lane.finished(speech)
            transcript = await lane.transcript(job)
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
            job = await lane.finished(speech)
            assert job.progress == (1, 1)
            transcript = await lane.transcript(job)
            assert [segment["text"] for segment in transcript["segments"]] == TEXTS * 2
            records = await lane.registry.chain("default", job=job.id)
            assert [(record.index, record.chunk_id) for record in records] == [
                (number, f"{job.id}:{number}") for number in range(len(records))
            ]
            assert [record.attempt for record in records] == [2, 3, 4, 4], "one sentence more is heard with each cut"
            assert all(after.previous == before.hash for before, after in itertools.pairwise(records))
            assert all(after.start_ms == before.end_ms for before, after in itertools.pairwise(records))

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
            job = await lane.submit(speech)
            now = await lane.until(job.id, lambda now: now.progress == (2, 5))
            assert now.state is JobState.PROCESSING
            transcript = await lane.transcript(job)
            assert (transcript["partial"], len(transcript["segments"])) == (True, 2)
            assert len(await lane.registry.chain("default", job=job.id)) == 2
            with pytest.raises(SpeechlaneError) as caught:
                await lane.service.manifest("default", job.id)
            assert (caught.value.code, caught.value.retryable) == ("job_not_succeeded", True)
            go_on.set()
            assert (await lane.service.wait("default", job.id, 30)).state is JobState.SUCCEEDED

    asyncio.run(main())


def test_the_same_recording_twice_is_stored_once(tmp_path, speech) -> None:
    """Two jobs, one object; both jobs succeed with the same text."""

    async def main() -> None:
        async with batch_lane(tmp_path / "data", SCRIPT) as lane:
            first, second = await asyncio.gather(lane.finished(speech), lane.finished(speech))
            assert first.id != second.id
            assert first.outputs["transcript.json"] == second.outputs["transcript.json"]
            assert len([path for path in (lane.folder.objects / "inputs").rglob("*") if path.is_file()]) == 1

    asyncio.run(main())
