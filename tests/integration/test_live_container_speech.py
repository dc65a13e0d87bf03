"""Real speech through real containers: tiny.en hears live what it hears of raw samples."""

from __future__ import annotations

import asyncio
import json
import wave

import numpy as np
import pytest
from containers import encode, recording

from speechlane.audio.format import ContainerFormat
from speechlane.live.config import LivePolicy, SessionConfig, SessionLimits
from speechlane.local.dispatcher import EngineDispatcher
from speechlane.local.silero import SileroGate
from speechlane.local.whisper import WhisperDecoder
from speechlane.router import RouteRequest
from speechlane.runtime.live_hub import LiveHub, StartRequest
from speechlane.samples import sample
from speechlane.scoring.text import wer
from speechlane.storage.memory import MemoryRegistry

pytestmark = pytest.mark.integration

# No partials: what is settled early depends on how fast the engine answers, and so on the machine.
WHOLE_SEGMENTS = LivePolicy(step=1_000_000, first_window=1_000_000)
SPOKEN = sample("jfk.txt").read_text(encoding="utf-8")


def jfk():
    with wave.open(str(sample("jfk.wav"))) as clip:
        return np.frombuffer(clip.readframes(clip.getnframes()), "<i2").astype(np.float32)[None] / 32_768


async def heard(tiny_en, audio, frames):
    """The session's finals as one text."""
    decoder = await asyncio.to_thread(
        WhisperDecoder, tiny_en, model="tiny.en", revision="0d3d19a32d33", digest="d" * 64
    )
    engine = EngineDispatcher(decoder)
    hub = LiveHub(
        engines=[engine],
        gate=SileroGate(),
        registry=MemoryRegistry(),
        logs=None,
        limits=SessionLimits(),
        max_sessions=1,
        policy=WHOLE_SEGMENTS,
    )
    config = SessionConfig(encoding=audio.encoding, sample_rate=0, bytes_per_frame=0, language="en", interim=False)
    try:
        driver = hub.open("default", StartRequest(audio, config, RouteRequest()))
        for frame in frames:
            await driver.audio(frame)
        driver.finish()
        messages = [json.loads(text) async for text in driver.outgoing]
    finally:
        await engine.aclose()
    assert messages[-1]["type"] == "session.finished"
    return " ".join(message["text"] for message in messages if message["type"] == "caption.final")


def stream(name):
    """The sample's format and its bytes in frames of about a quarter of a second."""
    if name == "browser":
        return ContainerFormat("webm_opus"), recording()
    data = encode(name, jfk(), 16_000)
    step = len(data) // 44
    return ContainerFormat(name), [data[at : at + step] for at in range(0, len(data), step)]


@pytest.mark.parametrize("name", ["browser", "mp3", "adts_aac"])
def test_lossy_containers_bring_the_words(tiny_en, name):
    """All that is said is in the captions, within the two words of 22 that tiny.en misses of raw samples too.

    Lossless containers give the very samples of raw ones (tests/properties/test_containers.py).
    """
    text = asyncio.run(heard(tiny_en, *stream(name)))
    assert wer(SPOKEN, text).rate < 0.1, text
