"""A newer version of a library serves the same model: what was left goes on, and the records say which made what."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import replace
from itertools import pairwise

import pytest
from live_server import live_server, script
from live_speaker import Speaker, log_of

from speechlane.engine import EngineIdentity
from speechlane.engine.scripted import ScriptedEngine
from speechlane.engine.scripted_audio import scripted_samples
from speechlane.live.config import SessionLimits
from speechlane.live.replay import replay

pytestmark = pytest.mark.integration

WORDS = script(18)
AUDIO = scripted_samples(0, WORDS[-1].end + 16_000).tobytes()
TEXT = " ".join(word.text.strip() for word in WORDS)
LIMITS = SessionLimits(resume_window_ms=60_000)


class Upgraded(ScriptedEngine):
    """The same model by another version of its library, on another device."""

    version = "scripted 2"

    @property
    def identity(self) -> EngineIdentity:
        return replace(super().identity, engine_version=self.version, device="cuda")


class UpgradedAgain(Upgraded):
    """By yet another version."""

    version = "scripted 3"


@pytest.fixture
def stack():
    with contextlib.ExitStack() as connections:
        yield connections


def stop(running) -> None:
    """Stop at once, whatever is being said."""
    (loop,) = {task.get_loop() for task in running.hub._running}
    asyncio.run_coroutine_threadsafe(running.hub.stop(0), loop)


def test_a_session_goes_on_after_an_upgrade_and_each_record_names_its_own_engine(tmp_path, stack):
    """Two upgrades, each behind a final: each told, every word once, the log replays, the chain holds."""
    engines = [ScriptedEngine(WORDS), Upgraded(WORDS), UpgradedAgain(WORDS)]
    speaker, chains = None, []
    for part, engine in enumerate(engines, start=1):
        with live_server(engine, WORDS, limits=LIMITS, logs=tmp_path) as running:
            if speaker is None:
                speaker, start = Speaker(running.url, AUDIO, stack), 0
            else:
                speaker.url = running.url
                start = speaker.resume()["replay_from_bytes"]
            speaker.say(start, len(AUDIO) * part // 3)
            if part < 3:
                speaker.receive_until("caption.final")
                stop(running)
                assert speaker.hear_out() == 1012
            else:
                assert speaker.finish() == 1000
            chains = asyncio.run(running.registry.chain("default", session=speaker.started["session"]))
    assert speaker.text == TEXT
    speaker.check_sequence()
    reasons = [message["reason"] for message in speaker.messages if message["type"] == "route.changed"]
    assert reasons == ["engine_upgraded", "engine_upgraded"]
    versions = [record.engine_version for record in chains]
    assert (
        sorted(set(versions)) == ["scripted 1", "scripted 2", "scripted 3"] == sorted(set(versions), key=versions.index)
    )
    assert {record.device for record in chains if record.engine_version != "scripted 1"} == {"cuda"}
    assert all(before.hash == after.previous for before, after in pairwise(chains))
    report = replay(log_of(tmp_path, speaker.started["session"]))
    assert report.identical, report.difference
    logged = [json.loads(line) for line in log_of(tmp_path, speaker.started["session"])]
    restarts = [line for line in logged if line.get("event") == "ServerRestarted"]
    assert [event["routes"][0]["identity"]["engine_version"] for event in restarts] == ["scripted 2", "scripted 3"]


def test_a_restart_with_the_same_engine_changes_no_route(tmp_path, stack):
    """The session goes on under the route that it has, and nothing is told of it."""
    with live_server(ScriptedEngine(WORDS), WORDS, limits=LIMITS, logs=tmp_path) as running:
        speaker = Speaker(running.url, AUDIO, stack)
        speaker.say(0, len(AUDIO) // 2)
        speaker.receive_until("caption.final")
        stop(running)
        speaker.hear_out()
    with live_server(ScriptedEngine(WORDS), WORDS, limits=LIMITS, logs=tmp_path) as running:
        speaker.url = running.url
        speaker.say(speaker.resume()["replay_from_bytes"], len(AUDIO))
        assert speaker.finish() == 1000
    assert "route.changed" not in {message["type"] for message in speaker.messages}
    assert speaker.text == TEXT
