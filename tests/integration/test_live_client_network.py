"""The live client and the real live lane over a network that misbehaves: captions are those of a good one."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest
from live_server import live_server, script
from rough_network import RoughNetwork

from speechlane.client import CaptionBoard, LiveClient, Patience
from speechlane.engine.scripted import ScriptedEngine
from speechlane.engine.scripted_audio import scripted_samples
from speechlane.live.config import SessionLimits

pytestmark = pytest.mark.integration

WORDS = script(18)
AUDIO = scripted_samples(0, WORDS[-1].end + 16_000).tobytes()
TEXT = " ".join(word.text.strip() for word in WORDS)
FLOAT_MONO_16K = {"encoding": "pcm_f32le", "sample_rate": 16_000, "channels": 1}
QUICK = Patience(ping_after_s=0.2, silent_s=0.3, first_retry_s=0.01, most_retry_s=0.1, to_start_s=30)
LIMITS = SessionLimits(resume_window_ms=60_000)


@pytest.fixture(scope="module")
def lane(tmp_path_factory):
    with live_server(ScriptedEngine(WORDS), WORDS, limits=LIMITS, logs=tmp_path_factory.mktemp("live")) as running:
        yield running


async def messages_over(url: str, size: int = 6_400) -> list[dict]:
    frames = (AUDIO[start : start + size] for start in range(0, len(AUDIO), size))
    async with asyncio.timeout(60), LiveClient(url, audio=FLOAT_MONO_16K, patience=QUICK) as client:
        return [message async for message in client.stream(frames)]


def captions(messages: list[dict]) -> list[tuple]:
    return [(m["segment"], m["start_ms"], m["end_ms"], m["text"]) for m in messages if m["type"] == "caption.final"]


@pytest.mark.parametrize("seed", range(6))
def test_no_mishap_of_the_network_changes_a_caption(lane, seed):
    """Connections cut, half closed and swallowed at any byte: finals equal those of an undisturbed session."""

    async def run():
        network = RoughNetwork(urlsplit(lane.url).port, seed, mishaps=4, most_bytes=len(AUDIO) // 3)
        async with network.serving() as url:
            return await messages_over(url), network.happened

    undisturbed = asyncio.run(messages_over(lane.url))
    messages, happened = asyncio.run(run())
    assert len(happened) == 4
    assert captions(messages) == captions(undisturbed)
    numbers = [message["seq"] for message in messages if "seq" in message]
    assert numbers == list(range(1, len(numbers) + 1))
    board = CaptionBoard()
    for message in messages:
        board.take(message)
    assert board.text.split() == TEXT.split()
