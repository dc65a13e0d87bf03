"""The live client and the real live lane over a network that misbehaves: captions are those of a good one."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from live_process import SCRIPT
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


def frames(audio: bytes, size: int = 6_400) -> Iterator[bytes]:
    return (audio[start : start + size] for start in range(0, len(audio), size))


async def messages_over(url: str) -> list[dict]:
    async with asyncio.timeout(60), LiveClient(url, audio=FLOAT_MONO_16K, patience=QUICK) as client:
        return [message async for message in client.stream(frames(AUDIO))]


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


async def start(data: Path) -> tuple[asyncio.subprocess.Process, int]:
    """A server in a process of its own, and its port."""
    program = Path(__file__).parents[1] / "support" / "live_process.py"
    running = await asyncio.create_subprocess_exec(sys.executable, program, data, stdout=asyncio.subprocess.PIPE)
    ready = await running.stdout.readline()
    return running, urlsplit(ready.split()[1]).port


def test_a_killed_server_is_waited_for(tmp_path):
    """After a kill -9 amid speech the client goes on at the next process, and every word comes once."""
    audio = scripted_samples(0, SCRIPT[-1].end + 16_000).tobytes()

    async def run():
        running, port = await start(tmp_path)
        network = RoughNetwork(port, 0, mishaps=0, most_bytes=1)
        finals = []
        async with network.serving() as url, LiveClient(url, audio=FLOAT_MONO_16K, patience=QUICK) as client:
            async for message in client.stream(frames(audio)):
                if message["type"] == "caption.final":
                    finals.append(message["text"])
                    if len(finals) == 4:
                        running.kill()
                        await running.wait()
                        running, network.port = await start(tmp_path)
        running.kill()
        await running.wait()
        return finals

    finals = asyncio.run(asyncio.wait_for(run(), 60))
    assert " ".join(finals).split() == [word.text.strip() for word in SCRIPT]
