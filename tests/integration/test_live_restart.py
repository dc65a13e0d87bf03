"""Guarantees 3 and 7 across a restart of the server: by SIGTERM's path, and by kill -9 in the middle of everything."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import subprocess
import sys
import threading
import wave
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from live_process import SCRIPT
from live_server import START, converse, live_server, script
from live_speaker import FINISH, Speaker, log_of

from speechlane.engine.scripted import ScriptedEngine
from speechlane.engine.scripted_audio import scripted_samples
from speechlane.live.config import SessionLimits
from speechlane.live.replay import replay
from speechlane.storage.database import Database
from speechlane.storage.registry import SqlRegistry

pytestmark = pytest.mark.integration

WORDS = script(18)
AUDIO = scripted_samples(0, WORDS[-1].end + 16_000).tobytes()
TEXT = " ".join(word.text.strip() for word in WORDS)
LIMITS = SessionLimits(resume_window_ms=60_000)


@pytest.fixture
def stack():
    with contextlib.ExitStack() as connections:
        yield connections


def serving(folder: Path, limits: SessionLimits = LIMITS, **options):
    return live_server(ScriptedEngine(WORDS, **options), WORDS, limits=limits, logs=folder)


@contextlib.contextmanager
def process(data: Path) -> Iterator[tuple[str, subprocess.Popen]]:
    """A server in a process of its own; its URL."""
    command = [sys.executable, str(Path(__file__).parents[1] / "support" / "live_process.py"), str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            yield running.stdout.readline().split()[1], running
        finally:
            running.kill()


def test_a_killed_server_loses_nothing_that_it_acknowledged(tmp_path, stack):
    """Killed amid speech, twice, and resumed at the next process: every word once, seq, log and chain whole."""
    audio = scripted_samples(0, SCRIPT[-1].end + 16_000).tobytes()
    with process(tmp_path) as (url, running):
        speaker = Speaker(url, audio, stack)
        speaker.say(0, len(audio) // 3)
        speaker.receive_until("caption.final")
        running.kill()
    for part in (2, 3):
        with process(tmp_path) as (speaker.url, running):
            resumed = speaker.resume()
            acknowledged = [message for message in speaker.messages if message["type"] == "audio.ack"]
            assert resumed["replay_from_bytes"] >= acknowledged[-1]["replay_from_bytes"] > 0
            speaker.say(resumed["replay_from_bytes"], len(audio) * part // 3)
            if part == 2:
                speaker.receive_until("caption.final")
                running.kill()
            else:
                assert speaker.finish() == 1000
    assert speaker.text == " ".join(word.text.strip() for word in SCRIPT)
    speaker.check_sequence()
    report = replay(log_of(tmp_path / "live", speaker.started["session"]))
    assert report.identical, report.difference
    check_chain(tmp_path / "speechlane.db", speaker)


def check_chain(database: Path, speaker: Speaker) -> None:
    """The registry holds exactly the records that the finals carry, each linked to the one before."""

    async def chain():
        opened = await Database.open(str(database))
        try:
            return await SqlRegistry(opened).chain("default", session=speaker.started["session"])
        finally:
            await opened.aclose()

    records = asyncio.run(chain())
    finals = [message for message in speaker.messages if message["type"] == "caption.final"]
    assert [record.as_fields() for record in records] == [final["provenance"][0] for final in finals]
    assert all(before.hash == after.previous for before, after in pairwise(records))


def test_a_stop_settles_what_was_heard_and_the_session_goes_on_after_it(tmp_path, stack):
    """SIGTERM's path: a pause is waited for, finals, error and 1012, no end; the next server takes the session up."""
    with serving(tmp_path) as running:
        speaker = Speaker(running.url, AUDIO, stack)
        middle = (WORDS[4].start + 1_000) * 4
        speaker.say(0, middle)
        speaker.receive_until("caption.partial")
        stop(running, 5)
        speaker.say(middle, WORDS[6].start * 4)
        assert speaker.hear_out() == 1012
        assert speaker.messages[-1]["code"] == "server_restart"
        assert "session.finished" not in {message["type"] for message in speaker.messages}
        assert speaker.text == "word0 word1 word2 word3 word4 word5"
    with serving(tmp_path) as running:
        speaker.url = running.url
        resumed = speaker.resume()
        speaker.say(resumed["replay_from_bytes"], len(AUDIO))
        assert speaker.finish() == 1000
        records = asyncio.run(running.registry.chain("default", session=speaker.started["session"]))
    assert speaker.text == TEXT
    speaker.check_sequence()
    # This registry is a new one: what the first held was written again from the log.
    finals = [message for message in speaker.messages if message["type"] == "caption.final"]
    assert [record.as_fields() for record in records] == [final["provenance"][0] for final in finals]


def test_what_the_drain_time_did_not_suffice_for_is_settled_after_the_restart(tmp_path, stack):
    """An engine that does not answer cannot keep the server; the next one answers, and no word is lost."""
    forever = asyncio.Event()

    async def never(_request):
        await forever.wait()

    with serving(tmp_path, before_answer=never) as running:
        speaker = Speaker(running.url, AUDIO, stack)
        speaker.say(0, len(AUDIO))
        speaker.receive_until("speech.ended")
        stop(running, 0.2)
        assert speaker.hear_out() == 1012
        assert speaker.messages[-1]["code"] == "server_restart"
    with serving(tmp_path) as running:
        speaker.url = running.url
        resumed = speaker.resume()
        speaker.say(resumed["replay_from_bytes"], len(AUDIO))
        assert speaker.finish() == 1000
    assert speaker.text == TEXT
    speaker.check_sequence()
    assert replay(log_of(tmp_path, speaker.started["session"])).identical


def stop(running, drain_s: float) -> None:
    """Stop the hub on its own loop, as the composition root does."""
    (loop,) = {task.get_loop() for task in running.hub._running}
    asyncio.run_coroutine_threadsafe(running.hub.stop(drain_s), loop)


def left(folder: Path, stack: contextlib.ExitStack) -> Speaker:
    """A session that a stopped server left, with speech that no engine has heard."""
    forever = asyncio.Event()

    async def never(_request):
        await forever.wait()

    with serving(folder, before_answer=never) as running:
        speaker = Speaker(running.url, AUDIO, stack)
        speaker.say(0, len(AUDIO))
        speaker.receive_until("speech.ended")
        stop(running, 0.1)
        speaker.hear_out()
    return speaker


def test_sessions_that_nobody_resumes_are_finished_after_a_restart(tmp_path, stack):
    """When the window is over every stored word becomes text, the session ends, and its audio is deleted."""
    speaker = left(tmp_path, stack)
    folder = tmp_path / speaker.started["session"]
    stored = b"".join(piece.read_bytes() for piece in sorted((folder / "spool").iterdir()))
    with live_server(
        ScriptedEngine(WORDS), WORDS, limits=SessionLimits(resume_window_ms=200), logs=tmp_path
    ) as running:
        wait_until(lambda: '"session.finished' in "".join(log_of(tmp_path, speaker.started["session"])[-3:]))
        chain = asyncio.run(running.registry.chain("default", session=speaker.started["session"]))
    heard = [word.text.strip() for word in WORDS if word.end * 4 <= len(stored)]
    assert finals_in(folder)[: len(heard)] == heard
    assert len(chain) == 3
    assert replay(log_of(tmp_path, speaker.started["session"])).identical


def test_a_log_cut_amid_a_line_goes_on_at_its_last_whole_line(tmp_path, stack):
    """Half a line and missing messages of the last event are what a crash may leave; both are mended."""
    speaker = left(tmp_path, stack)
    log = tmp_path / speaker.started["session"] / "events.jsonl"
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
    last = max(number for number, line in enumerate(lines) if "speech.ended" in line)
    log.write_text("".join(lines[:last]) + lines[last][:30], encoding="utf-8")
    with serving(tmp_path) as running:
        speaker.url = running.url
        resumed = speaker.resume(after_seq=1)
        speaker.messages = speaker.messages[:1]
        speaker.say(resumed["replay_from_bytes"], len(AUDIO))
        assert speaker.finish() == 1000
    assert speaker.text == TEXT
    speaker.check_sequence()
    assert replay(log_of(tmp_path, speaker.started["session"])).identical


@pytest.mark.parametrize("text", ["", '{"log":"speechlane.log/1"', "not a log\n", '{"log":"other"}\n'])
def test_a_log_that_cannot_be_read_stops_no_server(tmp_path, stack, text):
    """It is left aside: the server starts, the session is unknown, others are served."""
    speaker = left(tmp_path, stack)
    (tmp_path / speaker.started["session"] / "events.jsonl").write_text(text, encoding="utf-8")
    with serving(tmp_path) as running:
        messages, code = converse(running.url, [speaker.ticket()])
        assert (messages[0]["code"], code) == ("unknown_session", 4404)
        other = Speaker(running.url, AUDIO, stack)
        other.connection.send(FINISH)
        assert other.hear_out() == 1000


def test_a_session_of_another_model_is_left_aside(tmp_path, stack):
    """Its records name the model that it was begun with: no other decodes it under that name."""
    speaker = left(tmp_path, stack)
    log = tmp_path / speaker.started["session"] / "events.jsonl"
    log.write_text(log.read_text(encoding="utf-8").replace('"model":"script"', '"model":"other"'), encoding="utf-8")
    with serving(tmp_path) as running:
        messages, code = converse(running.url, [speaker.ticket()])
        assert (messages[0]["code"], code) == ("unknown_session", 4404)


def test_a_stop_does_not_wait_for_sessions_that_have_ended(tmp_path, stack):
    """An ended session may be resumed for its window; a stop leaves that to the next server, and the end is told."""
    with serving(tmp_path) as running:
        speaker = Speaker(running.url, AUDIO, stack)
        speaker.say(0, len(AUDIO))
        assert speaker.finish() == 1000
        (driver,) = running.hub._running.values()
        (loop,) = {task.get_loop() for task in running.hub._running}
        asyncio.run_coroutine_threadsafe(running.hub.stop(3_600), loop).result(10)
        assert not driver.reachable
    with serving(tmp_path) as running:
        speaker.url = running.url
        ended, speaker.messages = speaker.messages[-1], speaker.messages[:1]
        assert speaker.resume()["type"] == "session.resumed"
        assert speaker.hear_out() == 1000
        assert speaker.messages[-1] == ended
    assert speaker.text == TEXT


def test_a_container_goes_on_after_a_restart_amid_its_stream(tmp_path, stack):
    """Its headers were kept: the client sends the rest alone, and every word comes once."""
    file = io.BytesIO()
    with wave.open(file, "wb") as recording:
        recording.setparams((1, 2, 16_000, 0, "NONE", ""))
        recording.writeframes((np.frombuffer(AUDIO, "<f4") * 32_767).astype("<i2").tobytes())
    stream = file.getvalue()
    with serving(tmp_path) as running:
        speaker = Speaker(running.url, stream, stack, start=START | {"audio": {"encoding": "wav"}})
        speaker.say(0, len(stream) // 2 + 1)
        speaker.receive_until("caption.final")
        stop(running, 0)
        speaker.hear_out()
    with serving(tmp_path) as running:
        speaker.url = running.url
        speaker.say(speaker.resume()["replay_from_bytes"], len(stream))
        assert speaker.finish() == 1000
    assert speaker.text == TEXT
    speaker.check_sequence()


def finals_in(folder: Path) -> list[str]:
    """The words of a log's finals."""
    logged = [json.loads(line) for line in log_of(folder.parent, folder.name)]
    messages = [json.loads(line["message"]) for line in logged if "message" in line]
    return " ".join(message["text"] for message in messages if message["type"] == "caption.final").split()


def wait_until(true) -> None:
    """A bounded wait on another thread's work."""
    for _ in range(400):
        if true():
            return
        threading.Event().wait(0.025)
    raise AssertionError("it did not come about")
