"""The batch lane on real speech: tiny.en, Silero and the local diarizer."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import numpy as np
import pytest
import soundfile
from job_server import batch_lane

from speechlane.local.diarizer import LocalDiarizer
from speechlane.local.dispatcher import EngineDispatcher
from speechlane.local.silero import SileroGate
from speechlane.local.whisper import WhisperDecoder
from speechlane.samples import sample
from speechlane.scoring.text import wer

pytestmark = pytest.mark.integration


@asynccontextmanager
async def real_lane(data, tiny_en):
    decoder = await asyncio.to_thread(
        WhisperDecoder, tiny_en, model="tiny.en", revision="0d3d19a32d33", digest="d" * 64
    )
    engine = EngineDispatcher(decoder)
    try:
        async with batch_lane(data, engine=engine, gate=SileroGate(), diarizer=LocalDiarizer()) as lane:
            yield lane
    finally:
        await engine.aclose()


async def transcribed(lane, path, options):
    """The succeeded job of a file and its transcript."""
    job = await lane.finished(path, options)
    assert job.state == "succeeded", job.error
    return job, await lane.transcript(job)


def test_a_speech_is_transcribed_whole_and_once(tmp_path, tiny_en) -> None:
    """Every word of the clip, each half of the sentence once, also as stereo at 44.1 kHz after a minute of silence."""
    reference = sample("jfk.txt").read_text()
    (tmp_path / "jfk.wav").write_bytes(sample("jfk.wav").read_bytes())
    samples, rate = soundfile.read(tmp_path / "jfk.wav")
    late = np.interp(np.arange(0, len(samples) / rate, 1 / 44_100), np.arange(len(samples)) / rate, samples)
    late = np.concatenate([np.zeros(60 * 44_100), late])
    soundfile.write(tmp_path / "late.flac", np.stack([late, late], axis=1), 44_100)

    async def main() -> None:
        async with real_lane(tmp_path / "data", tiny_en) as lane:
            for name, start_ms in (("jfk.wav", 0), ("late.flac", 60_000)):
                job, transcript = await transcribed(lane, tmp_path / name, {})
                text = " ".join(segment["text"].strip() for segment in transcript["segments"])
                plain = text.lower().replace(",", "")
                assert wer(reference, text).rate == 0
                assert plain.count("ask not what your country can do for you") == 1
                assert plain.count("ask what you can do for your country") == 1
                words = [word for segment in transcript["segments"] for word in segment["words"]]
                assert start_ms <= words[0]["start_ms"] < start_ms + 1000
                assert all(word["confidence"] is not None for word in words)
                (record,) = await lane.registry.chain("default", job=job.id)
                assert (record.model, record.device, record.locale_requested) == ("tiny.en", "cpu", "auto")
                assert record.compute_ms > 0
                assert (record.locale_detected, transcript["language"], job.route.locale) == (None, "en", "en")

    asyncio.run(main())


def test_two_speakers_are_told_apart(tmp_path, tiny_en) -> None:
    """The bundled conversation has two speakers, each with several segments, and turns as RTTM."""
    (tmp_path / "two.wav").write_bytes(sample("two_speakers.wav").read_bytes())

    async def main() -> None:
        async with real_lane(tmp_path / "data", tiny_en) as lane:
            job, transcript = await transcribed(lane, tmp_path / "two.wav", {"diarize": {"mode": "speaker"}})
            assert len(transcript["speakers"]) == 2
            spoken = [segment["speaker"] for segment in transcript["segments"]]
            assert all(spoken.count(speaker) >= 2 for speaker in transcript["speakers"])
            rttm = (await lane.service.transcript("default", job.id, "rttm")).body.decode()
            assert len({line.split()[7] for line in rttm.splitlines()}) == 2

    asyncio.run(main())


def test_noise_and_silence_stay_without_text(tmp_path, tiny_en) -> None:
    """Half a minute of silence and of soft noise gives no chunk and no word."""
    noise = np.random.default_rng(7).normal(0, 0.003, 15 * 16_000)
    soundfile.write(tmp_path / "still.wav", np.concatenate([np.zeros(15 * 16_000), noise]), 16_000)

    async def main() -> None:
        async with real_lane(tmp_path / "data", tiny_en) as lane:
            job, transcript = await transcribed(lane, tmp_path / "still.wav", {"diarize": {"mode": "speaker"}})
            assert (job.progress, transcript["segments"]) == ((0, 0), [])

    asyncio.run(main())
