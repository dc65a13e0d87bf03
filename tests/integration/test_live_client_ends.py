"""The live client held against real limits: frames that are too large, and when it stops trying."""

from __future__ import annotations

import asyncio
import io
import tempfile
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest
import soundfile
from live_server import live_server, script
from scripted_lane import ScriptedLane

from speechlane.client import LiveClient, Patience
from speechlane.engine.scripted import ScriptedEngine
from speechlane.engine.scripted_audio import scripted_samples
from speechlane.errors import EngineFailed, SessionLost
from speechlane.live.config import SessionLimits

pytestmark = pytest.mark.integration

FLOATS = {"encoding": "pcm_f32le", "sample_rate": 16_000, "channels": 1}


def http(url: str) -> str:
    """The server's address, of its live lane's."""
    return url.replace("ws", "http").replace("/v1/live", "")


async def kinds(url, frames, seen, **options):
    """Stream the frames and note the type of each message."""
    async with asyncio.timeout(20), LiveClient(url, **options) as client:
        async for message in client.stream(frames):
            seen += [message["type"]]


def test_a_session_that_breaks_off_whenever_it_is_resumed_is_given_up():
    """Being resumed is no progress: without anything new the tries end with the window, and pauses grow meanwhile."""
    lane = ScriptedLane(breaks=repeat((1, 1011)), window_s=0.5)

    async def run():
        async with lane.serving() as url:
            await kinds(url, [b"x" * 250], [], patience=Patience(first_retry_s=0.01))

    with pytest.raises(SessionLost, match="said_1011"):
        asyncio.run(run())
    assert 2 <= lane.resumed < 40


def test_an_engine_that_failed_is_told_as_such():
    """A session that could be resumed, and whose engine fails for good: the engine's own error, and no try after it."""
    words = script(12)
    samples = scripted_samples(0, words[-1].end + 24_000).tobytes()
    engine = ScriptedEngine(words, failures=[EngineFailed("engine_failed", "The model is gone.", retryable=False)])
    frames = [samples[start : start + 6_400] for start in range(0, len(samples), 6_400)]
    seen: list[str] = []
    with (
        tempfile.TemporaryDirectory() as logs,
        live_server(engine, words, limits=SessionLimits(resume_window_ms=60_000), logs=Path(logs)) as server,
        pytest.raises(EngineFailed, match="The model is gone"),
    ):
        asyncio.run(kinds(http(server.url), frames, seen, audio=FLOATS, language="en"))
    assert seen[0] == "session.started"
    assert seen[-1] == "error"
    assert "session.resumed" not in seen


def test_frames_are_no_longer_than_the_server_takes():
    """A server with a low `max_frame_bytes` is sent smaller frames, from the first on; no connection is lost."""
    words = script(6)
    samples = scripted_samples(0, words[-1].end + 24_000).tobytes()
    seen: list[str] = []
    with live_server(ScriptedEngine(words), words, max_frame_bytes=2_000) as server:
        asyncio.run(kinds(http(server.url), [samples], seen, audio=FLOATS, language="en"))
    assert seen[-1] == "session.finished"


def test_a_container_whose_channels_the_server_must_see_first_is_sent_at_once():
    """With diarize "channel" a session opens only when the server has read the header: the client does not wait."""
    words = script(6)
    carrier = np.frombuffer(scripted_samples(0, words[-1].end + 16_000), np.float32)
    file = io.BytesIO()
    soundfile.write(file, np.stack([carrier, carrier], axis=1), 16_000, format="WAV", subtype="FLOAT")
    finals: list[dict] = []

    async def talk(url: str) -> None:
        options = {"audio": {"encoding": "wav"}, "options": {"diarize": "channel"}}
        async with asyncio.timeout(20), LiveClient(http(url), **options) as client:
            async for message in client.stream([file.getvalue()]):
                finals.extend([message] if message["type"] == "caption.final" else [])

    with live_server(ScriptedEngine(words), words) as server:
        asyncio.run(talk(server.url))
    for channel in (0, 1):
        text = "".join(f"{final['text']} " for final in finals if final["channel"] == channel)
        assert text.split() == [word.text.strip() for word in words]


def test_a_client_that_slept_over_the_idle_limit_goes_on():
    """Its pings did not get through, as of a computer that slept: closed 4408, it takes its session up, whole."""
    words = script(12)
    samples = scripted_samples(0, words[-1].end + 24_000).tobytes()
    limits = SessionLimits(idle_timeout_ms=200, stall_ms=100, resume_window_ms=60_000)
    seen: list[str] = []

    async def frames():
        for start in range(0, len(samples), 6_400):
            if start == 32_000:
                await asyncio.sleep(0.8)
            yield samples[start : start + 6_400]

    with (
        tempfile.TemporaryDirectory() as logs,
        live_server(ScriptedEngine(words), words, limits=limits, logs=Path(logs)) as server,
    ):
        silent = Patience(ping_after_s=60, first_retry_s=0.01)
        asyncio.run(kinds(http(server.url), frames(), seen, audio=FLOATS, language="en", patience=silent))
    assert "session.resumed" in seen
    assert seen[-1] == "session.finished"
