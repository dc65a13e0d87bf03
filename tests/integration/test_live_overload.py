"""Overload: sessions join a slow engine until they are refused, those in keep their lag, the ladder is told."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field

import numpy as np
import pytest
from live_server import START, converse, live_server, read_all, script
from simulated_time import run_simulated
from slow_engine import SlowEngine
from websockets.sync.client import connect

from speechlane.audio.format import AudioFormat
from speechlane.engine import DecodeRequest, Priority
from speechlane.engine.scripted import ScriptedEngine, ScriptedGate
from speechlane.engine.scripted_audio import scripted_samples
from speechlane.errors import OverCapacity
from speechlane.live.config import SessionConfig, SessionLimits
from speechlane.router import RouteRequest
from speechlane.runtime.engine_load import ObservedEngine
from speechlane.runtime.governor import Governor, GovernorSettings
from speechlane.runtime.live_hub import LiveHub, StartRequest
from speechlane.runtime.live_load import LiveLoad
from speechlane.storage.memory import MemoryRegistry

pytestmark = pytest.mark.integration

WORDS = script(420)  # three minutes
AUDIO = scripted_samples(0, WORDS[-1].end + 16_000).tobytes()
FRAME = 6_400  # bytes of 0.1 s
ASK = StartRequest(
    AudioFormat("pcm_f32le", 16_000, 1),
    SessionConfig(encoding="pcm_f32le", sample_rate=16_000, bytes_per_frame=4, language="en"),
    RouteRequest(),
)


@dataclass
class Speaker:
    """One client in simulated time: sends at the pace of speech, notes what comes and how late finals are."""

    hub: LiveHub
    until: asyncio.Event
    steps: list[tuple[str, str]] = field(default_factory=list)
    lags: list[tuple[float, float]] = field(default_factory=list)
    words: int = 0

    async def join(self) -> asyncio.Task[None]:
        """Raises OverCapacity when there is no room."""
        driver = self.hub.open("default", ASK)
        return asyncio.create_task(self._talk(driver))

    async def _talk(self, driver) -> None:
        began = asyncio.get_running_loop().time()
        reader = asyncio.create_task(self._read(driver, began))
        for number in range(len(AUDIO) // FRAME):
            if self.until.is_set():
                break
            await driver.audio(AUDIO[number * FRAME : (number + 1) * FRAME])
            await asyncio.sleep(0.1)
        driver.finish()
        await reader

    async def _read(self, driver, began: float) -> None:
        loop = asyncio.get_running_loop()
        async for text in driver.outgoing:
            message = json.loads(text)
            if message["type"].startswith("lane."):
                self.steps.append((message["type"], message["step"]))
            if message["type"] == "caption.final":
                self.words += len(message["words"])
                self.lags.append((loop.time(), loop.time() - began - message["end_ms"] / 1000))


def test_those_in_keep_their_lag_and_those_beyond_are_refused():
    """Joining one by one, some get in and the next is refused; finals stay in bounds; calm restores the ladder."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        slow = SlowEngine(ScriptedEngine(WORDS), fixed_s=0.12, each_s=0.06)
        engine = ObservedEngine(slow, clock=loop.time)
        load = LiveLoad(engine, Governor(GovernorSettings(unmeasured_channels=4)), clock=loop.time)
        hub = LiveHub(
            engines=[engine],
            gate=ScriptedGate(WORDS),
            registry=MemoryRegistry(),
            logs=None,
            limits=SessionLimits(),
            max_sessions=1_000,
            load=load,
            clock=loop.time,
        )
        leave, stay = asyncio.Event(), asyncio.Event()
        speakers: list[Speaker] = []
        tasks = []
        refused: list[OverCapacity] = []
        while len(refused) < 5 and len(speakers) < 100:
            speaker = Speaker(hub, stay if len(speakers) < 2 else leave)
            try:
                tasks.append(await speaker.join())
                speakers.append(speaker)
            except OverCapacity as problem:
                refused.append(problem)
            await asyncio.sleep(3)
        assert 4 < len(speakers) < 100
        assert {problem.code for problem in refused} == {"over_capacity"}
        assert min(problem.retry_after_ms for problem in refused) >= 1_000
        await asyncio.sleep(20)
        assert speakers[0].steps[0] == ("lane.degraded", "slower_partials")
        # A final comes the endpointing time after its last word; it may wait for the engine for max_wait_ms, then it
        # is decoded, in a batch that takes 0.36 s, behind one in flight that takes as long.
        lags = sorted(lag for speaker in speakers for _, lag in speaker.lags)
        assert lags[round(0.95 * len(lags)) - 1] < 0.5 + 2 + 0.36

        leave.set()
        await asyncio.wait(tasks[2:])
        await asyncio.sleep(45)
        assert load.level == 0
        assert speakers[0].steps[-1] == ("lane.restored", "slower_partials")
        await Speaker(hub, stay).join()
        stay.set()
        await hub.stop(30)

    run_simulated(scenario())


def test_the_batch_lane_waits_while_captions_are_degraded():
    """A recording's window is held back for its patience at most; then, or when the ladder is left, it goes on."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        engine = ObservedEngine(SlowEngine(ScriptedEngine(WORDS), fixed_s=0.1, each_s=0), clock=loop.time)

        def window(priority: Priority) -> DecodeRequest:
            return DecodeRequest(np.zeros(16_000, np.float32), 16_000, "en", priority=priority)

        async def took(priority: Priority) -> float:
            began = loop.time()
            await engine.decode(window(priority))
            return round(loop.time() - began, 3)

        engine.hold_background(True)
        assert await took(Priority.FINAL) == 0.1
        assert await took(Priority.BATCH) == 30.1
        waiting = asyncio.create_task(took(Priority.BATCH))
        await asyncio.sleep(2)
        engine.hold_background(False)
        assert await waiting == 2.1
        assert engine.load().final_wait_ms == 0

    run_simulated(scenario())


def test_overload_is_told_over_the_socket_and_a_newcomer_gets_4429():
    """While finals wait: lane.degraded is a durable message with its lag, and a new session is closed 4429."""
    words = script(18)
    audio = scripted_samples(0, words[-1].end + 16_000).tobytes()
    answer = asyncio.Event()

    async def held(_: DecodeRequest) -> None:
        await answer.wait()

    settings = GovernorSettings(max_wait_ms=100, rise_s=0.05, pause_s=0.05, hold_s=0.1, settling_s=60)
    with (
        live_server(ScriptedEngine(words, before_answer=held), words, governor=Governor(settings)) as running,
        connect(running.url) as first,
    ):
        first.send(json.dumps(START))
        first.send(audio)
        heard = []
        while ("lane.degraded", "finals_only") not in [(each["type"], each.get("step")) for each in heard]:
            heard.append(json.loads(first.recv(timeout=20)))
        degraded = [each for each in heard if each["type"] == "lane.degraded"]
        assert [each["step"] for each in degraded] == ["slower_partials", "finals_only"]
        assert all(each["lag_ms"] > 0 for each in degraded)
        first.send(json.dumps({"type": "session.finish"}))
        while True:
            messages, code = converse(running.url, [START, {"type": "session.finish"}])
            if code == 4429:
                break
        assert (messages[0]["code"], messages[0]["retryable"]) == ("over_capacity", True)
        assert messages[0]["retry_after_ms"] >= 1_000
        running.server.servers[0].get_loop().call_soon_threadsafe(answer.set)
        heard += read_all(first)
        assert first.close_code == 1000
        spoken = " ".join(each["text"] for each in heard if each["type"] == "caption.final")
        assert spoken == " ".join(word.text.strip() for word in words)
        durable = [each["seq"] for each in heard if "seq" in each]
        assert durable == list(range(1, len(durable) + 1))
