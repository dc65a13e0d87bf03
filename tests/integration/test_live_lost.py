"""Connections that are lost without a close: the session waits for its client, whatever silenced it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from urllib.parse import urlsplit

import pytest
from live_server import converse, live_server, script
from live_speaker import Speaker, log_of
from rough_network import RoughNetwork

from speechlane.engine.scripted import ScriptedEngine
from speechlane.engine.scripted_audio import scripted_samples
from speechlane.live.config import SessionLimits
from speechlane.live.replay import replay
from speechlane.runtime.session_log import SessionLog

pytestmark = pytest.mark.integration

WORDS = script(18)
AUDIO = scripted_samples(0, WORDS[-1].end + 16_000).tobytes()
TEXT = " ".join(word.text.strip() for word in WORDS)
LIMITS = SessionLimits(resume_window_ms=60_000)


@pytest.fixture
def stack():
    with contextlib.ExitStack() as connections:
        yield connections


def test_a_network_that_dies_without_a_word_loses_the_connection_not_the_session(tmp_path, stack, monkeypatch):
    """Nothing comes through any more, no close either: after the idle time the session waits, and is resumed whole."""
    monkeypatch.setattr("rough_network.MISHAPS", ("swallow",))
    limits = SessionLimits(idle_timeout_ms=400, stall_ms=100, resume_window_ms=60_000)

    async def run(url: str) -> Speaker:
        network = RoughNetwork(urlsplit(url).port, 1, mishaps=1, most_bytes=len(AUDIO) // 2)
        async with network.serving() as rough:
            speaker = await asyncio.to_thread(Speaker, rough.replace("http", "ws") + "/v1/live", AUDIO, stack)
            await asyncio.to_thread(speaker.say, 0, len(AUDIO))  # into the sockets' buffers
            await asyncio.to_thread(wait_until, lambda: list(running.hub.states()) == ["lost"])
            return speaker

    with live_server(ScriptedEngine(WORDS), WORDS, limits=limits, logs=tmp_path) as running:
        speaker = asyncio.run(run(running.url))
        assert "idle_timeout" in "".join(log_of(tmp_path, speaker.started["session"]))
        speaker.url = running.url
        speaker.say(speaker.resume()["replay_from_bytes"], len(AUDIO))
        assert speaker.finish() == 1000
    assert speaker.text == TEXT
    speaker.check_sequence()
    assert replay(log_of(tmp_path, speaker.started["session"])).identical


def test_a_client_that_says_nothing_may_come_back(tmp_path, stack):
    """Its connection lives and is closed 4408 all the same; the session is not over."""
    limits = SessionLimits(idle_timeout_ms=300, stall_ms=100, resume_window_ms=60_000)
    with live_server(ScriptedEngine(WORDS), WORDS, limits=limits, logs=tmp_path) as running:
        speaker = Speaker(running.url, AUDIO, stack)
        assert speaker.hear_out() == 4408
        assert speaker.messages[-1]["code"] == "idle_timeout"
        assert "Resume the session" in speaker.messages[-1]["message"]
        speaker.say(speaker.resume()["replay_from_bytes"], len(AUDIO))
        assert speaker.finish() == 1000
    assert speaker.text == TEXT


def test_a_log_that_cannot_be_read_again_loses_the_connection_alone(tmp_path, stack, monkeypatch):
    """What a client missed cannot be read: told by `error`, 1011, retryable; the session waits and goes on whole."""
    with live_server(ScriptedEngine(WORDS), WORDS, limits=LIMITS, logs=tmp_path) as running:
        speaker = Speaker(running.url, AUDIO, stack)
        speaker.say(0, len(AUDIO) // 2)
        speaker.receive_until("caption.final")
        speaker.drop()
        with monkeypatch.context() as patched:

            def unreadable(self, *_args):
                raise self._failed(OSError(5, "Input/output error"))
                yield

            patched.setattr(SessionLog, "durable", unreadable)
            messages, code = converse(running.url, [speaker.ticket()])
            assert (messages[-1]["code"], messages[-1]["retryable"], code) == ("log_unwritable", True, 1011)
            wait_until(lambda: list(running.hub.states()) == ["lost"])
        speaker.say(speaker.resume()["replay_from_bytes"], len(AUDIO))
        assert speaker.finish() == 1000
    assert speaker.text == TEXT
    speaker.check_sequence()


def wait_until(true) -> None:
    """A bounded wait on another thread's work."""
    for _ in range(400):
        if true():
            return
        threading.Event().wait(0.025)
    raise AssertionError("it did not come about")
