"""Sessions that a stopped or failing server left: their clients come first, and a fault that passes loses none."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path

import pytest
from live_server import converse, live_server, script
from live_speaker import Speaker, log_of

from speechlane.engine.scripted import ScriptedEngine
from speechlane.engine.scripted_audio import scripted_samples
from speechlane.errors import StorageFailed
from speechlane.live.config import SessionLimits
from speechlane.live.replay import replay
from speechlane.runtime.session_log import SessionLog
from speechlane.runtime.spool import AudioSpool

pytestmark = pytest.mark.integration

WORDS = script(18)
AUDIO = scripted_samples(0, WORDS[-1].end + 16_000).tobytes()
TEXT = " ".join(word.text.strip() for word in WORDS)


@pytest.fixture
def stack():
    with contextlib.ExitStack() as connections:
        yield connections


def serving(folder: Path, window_ms: int = 60_000):
    limits = SessionLimits(resume_window_ms=window_ms)
    return live_server(ScriptedEngine(WORDS), WORDS, limits=limits, logs=folder)


def left(folder: Path, stack: contextlib.ExitStack) -> Speaker:
    """A session that a stopped server left amid its audio."""
    with serving(folder) as running:
        speaker = Speaker(running.url, AUDIO, stack)
        speaker.say(0, len(AUDIO) // 2)
        speaker.receive_until("caption.final")
        (loop,) = {task.get_loop() for task in running.hub._running}
        asyncio.run_coroutine_threadsafe(running.hub.stop(0), loop)
        speaker.hear_out()
    return speaker


def test_a_client_that_is_resuming_when_the_window_ends_keeps_its_session(tmp_path, stack):
    """The window ends while the log is replayed for the client: it goes on, and every word comes once."""
    speaker = left(tmp_path, stack)
    with serving(tmp_path, window_ms=400) as running:
        chain, passed = running.registry.chain, threading.Event()

        async def slow(*args, **options):
            await asyncio.sleep(0.8)  # the window ends meanwhile
            passed.set()
            return await chain(*args, **options)

        running.registry.chain = slow
        speaker.url = running.url
        speaker.say(speaker.resume()["replay_from_bytes"], len(AUDIO))
        assert passed.is_set()
        assert speaker.finish() == 1000
    assert speaker.text == TEXT
    speaker.check_sequence()


def test_a_client_that_comes_while_its_session_is_being_finished_keeps_it(tmp_path, stack):
    """The window has ended and the log is being replayed: who asks before that is done still gets the session."""
    speaker = left(tmp_path, stack)
    with serving(tmp_path, window_ms=50) as running:
        chain, begun = running.registry.chain, threading.Event()

        async def slow(*args, **options):
            begun.set()
            await asyncio.sleep(0.5)
            return await chain(*args, **options)

        running.registry.chain = slow
        speaker.url = running.url
        assert begun.wait(10)
        speaker.say(speaker.resume()["replay_from_bytes"], len(AUDIO))
        assert speaker.finish() == 1000
    assert speaker.text == TEXT


def test_a_fault_that_passes_leaves_the_session_to_be_resumed(tmp_path, stack):
    """A busy database while taking up: 1011, `retryable`; the next try has the session, whole."""
    speaker = left(tmp_path, stack)
    with serving(tmp_path) as running:
        chain, faults = running.registry.chain, [1, 2]

        async def busy(*args, **options):
            if faults:
                faults.pop()
                raise StorageFailed("database_failed", "The database is busy. Try again.")
            return await chain(*args, **options)

        running.registry.chain = busy
        for _ in range(2):
            messages, code = converse(running.url, [speaker.ticket()])
            assert (messages[0]["code"], messages[0]["retryable"], code) == ("database_failed", True, 1011)
        speaker.url = running.url
        speaker.say(speaker.resume()["replay_from_bytes"], len(AUDIO))
        assert speaker.finish() == 1000
    assert speaker.text == TEXT
    assert replay(log_of(tmp_path, speaker.started["session"])).identical


@pytest.mark.parametrize(("part", "method", "code"), [
    (AudioSpool, "append", "spool_unusable"), (SessionLog, "flush", "log_unwritable"),
])  # fmt: skip
def test_a_full_disk_is_told_as_a_fault_that_passes(tmp_path, stack, monkeypatch, part, method, code):
    """1011, `retryable`, and a message that says to resume; once there is room the session goes on, whole."""
    with serving(tmp_path) as running:
        speaker = Speaker(running.url, AUDIO, stack)
        speaker.say(0, len(AUDIO) // 2)
        speaker.receive_until("caption.final")
        with monkeypatch.context() as patched:

            def full(self, *_args):
                raise self._failed(OSError(28, "No space left on device"))

            patched.setattr(part, method, full)
            speaker.say(len(AUDIO) // 2, len(AUDIO) // 2 + 6_400)
            assert speaker.hear_out() == 1011
        problem = speaker.messages[-1]
        assert (problem["code"], problem["retryable"]) == (code, True)
        assert "resume the session" in problem["message"]
        speaker.say(speaker.resume()["replay_from_bytes"], len(AUDIO))
        assert speaker.finish() == 1000
    assert speaker.text == TEXT
    speaker.check_sequence()


def test_a_stop_leaves_what_is_being_taken_up(tmp_path, stack):
    """Nothing is started on a closing registry: the client is told 4429, and the next server has the session."""
    speaker = left(tmp_path, stack)
    with serving(tmp_path) as running:
        begun, loops = threading.Event(), []

        async def forever(*_args, **_options):
            loops.append(asyncio.get_running_loop())
            begun.set()
            await asyncio.Event().wait()

        running.registry.chain = forever
        speaker.url = running.url
        answers: list = []
        asking = threading.Thread(target=lambda: answers.append(converse(running.url, [speaker.ticket()])))
        asking.start()
        assert begun.wait(10)
        asyncio.run_coroutine_threadsafe(running.hub.stop(0), loops[0]).result(10)
        asking.join(10)
    ((messages, code),) = answers
    assert (messages[0]["code"], messages[0]["retryable"], code) == ("server_restart", True, 4429)
    with serving(tmp_path) as running:
        speaker.url = running.url
        speaker.say(speaker.resume()["replay_from_bytes"], len(AUDIO))
        assert speaker.finish() == 1000
    assert speaker.text == TEXT
