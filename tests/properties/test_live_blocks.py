"""How a client cuts its frames changes nothing that the core sees: the driver hands it audio in blocks."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_server import script

from speechlane.audio.format import AudioFormat
from speechlane.engine.scripted import ScriptedEngine, ScriptedGate
from speechlane.engine.scripted_audio import scripted_samples
from speechlane.live.config import SessionConfig, SessionLimits
from speechlane.router import RouteRequest
from speechlane.runtime.live_hub import LiveHub, StartRequest
from speechlane.storage.memory import MemoryRegistry

pytestmark = pytest.mark.properties

WORDS = script(8)
AUDIO = scripted_samples(0, WORDS[-1].end + 12_345).tobytes()
CONFIG = SessionConfig(encoding="pcm_f32le", sample_rate=16_000, bytes_per_frame=4, interim=False)


async def heard(folder, cuts: list[int]) -> tuple[list[dict], list[dict]]:
    """The audio events of the session's log, times and bytes apart, and its finals without record and number."""
    hub = LiveHub(
        engines=[ScriptedEngine(WORDS)],
        gate=ScriptedGate(WORDS),
        registry=MemoryRegistry(),
        logs=folder,
        limits=SessionLimits(),
        max_sessions=1,
    )
    driver = hub.open("default", StartRequest(AudioFormat("pcm_f32le", 16_000, 1), CONFIG, RouteRequest()))
    for start, end in zip([0, *cuts], [*cuts, len(AUDIO)], strict=True):
        await driver.audio(AUDIO[start:end])
    driver.finish()
    messages = [json.loads(text) async for text in driver.outgoing]
    lines = (folder / driver.session.head.session / "events.jsonl").read_text(encoding="utf-8").splitlines()
    audio = [event for line in lines if (event := json.loads(line)).get("event") == "AudioReceived"]
    finals = [message for message in messages if message["type"] == "caption.final"]
    return (
        [{"position": event["position"], "scores": event["scores"]} for event in audio],
        [{key: value for key, value in final.items() if key not in {"provenance", "seq"}} for final in finals],
    )


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(1, len(AUDIO) - 1), max_size=30, unique=True).map(sorted))
def test_cuts_change_no_block_and_no_caption(tmp_path_factory, cuts):
    """Any cut of the bytes, even amid a sample, gives the same blocks, scores and finals."""
    whole = asyncio.run(heard(tmp_path_factory.mktemp("whole"), []))
    assert asyncio.run(heard(tmp_path_factory.mktemp("cut"), cuts)) == whole
    assert " ".join(final["text"] for final in whole[1]) == "word0 word1 word2 word3 word4 word5 word6 word7"
