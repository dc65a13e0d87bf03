"""What the server's own log tells an operator of live sessions."""

from __future__ import annotations

import contextlib
import json
import logging
import threading

import pytest
from live_server import START, converse, live_server, script
from live_speaker import Speaker

from speechlane.engine.scripted import ScriptedEngine
from speechlane.engine.scripted_audio import scripted_samples
from speechlane.live.config import SessionLimits

pytestmark = pytest.mark.integration

WORDS = script(6)
AUDIO = scripted_samples(0, WORDS[-1].end + 16_000).tobytes()
LIMITS = SessionLimits(resume_window_ms=60_000)
KEY = "a-key-that-nobody-may-read"


def until(condition) -> None:
    """Wait for what the server's thread is about to do."""
    moment = threading.Event()
    assert any(condition() or moment.wait(0.01) for _ in range(1_000))


def test_each_turn_of_a_session_is_one_line(tmp_path, caplog):
    """Begun, lost, resumed, closed: each with the session's id and its code, none with a token or a word said."""
    caplog.set_level(logging.INFO, "speechlane")
    with (
        contextlib.ExitStack() as stack,
        live_server(ScriptedEngine(WORDS), WORDS, limits=LIMITS, logs=tmp_path) as running,
    ):
        speaker = Speaker(running.url, AUDIO, stack)
        speaker.say(0, len(AUDIO) // 2)
        speaker.drop()
        until(lambda: "lost" in caplog.text)
        resumed = speaker.resume()
        speaker.say(resumed["replay_from_bytes"], len(AUDIO))
        assert speaker.finish() == 1000
    told = [line.removeprefix(f"session {speaker.started['session']} ") for line in caplog.messages]
    assert told[:2] == ["has begun", "has lost its connection"]
    assert told[2].startswith("is resumed after message ")
    assert told[3:] == ["is closed: 1000, finished"]
    assert speaker.started["resume_token"] not in caplog.text
    assert "word" not in caplog.text


def test_refusals_are_told_without_the_key(caplog):
    """A wrong key, a full house and a session that is not there: what was asked, the close code and why."""
    caplog.set_level(logging.INFO, "speechlane")
    resume = {"type": "session.resume", "session": "ses_none", "resume_token": "secret-token", "after_seq": 0}
    headers = {"Authorization": f"Bearer {KEY}"}
    with live_server(ScriptedEngine(WORDS), WORDS, keys={"red": KEY}, max_sessions=0) as running:
        converse(running.url, [json.dumps(START)], additional_headers={"Authorization": "Bearer not-the-key"})
        converse(running.url, [START], additional_headers=headers)
        converse(running.url, [resume], additional_headers=headers)
    assert caplog.messages == [
        "refused a session: 4401, unknown_key",
        "refused a session: 4429, too_many_sessions",
        "refused to resume 'ses_none': 4404, unknown_session",
    ]
    assert KEY not in caplog.text
    assert "not-the-key" not in caplog.text
    assert "secret-token" not in caplog.text
