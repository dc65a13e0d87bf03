"""What is measured of an engine: waits by priority, the share of finals, what still waits."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from simulated_time import run_simulated
from slow_engine import SlowEngine

from speechlane.engine import DecodeRequest, Priority
from speechlane.engine.scripted import ScriptedEngine
from speechlane.errors import EngineFailed
from speechlane.runtime.engine_load import EngineLoad, ObservedEngine

pytestmark = pytest.mark.unit


def window(priority: Priority) -> DecodeRequest:
    return DecodeRequest(np.zeros(16_000, np.float32), 16_000, "en", priority=priority)


def observe(scenario, **options) -> None:
    """Run a scenario on an engine of one window a second, in simulated time."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        slow = SlowEngine(ScriptedEngine((), **options), fixed_s=1, each_s=0, max_batch=1)
        await scenario(ObservedEngine(slow, clock=loop.time))

    run_simulated(main())


def test_waits_are_told_by_kind_and_forgotten():
    """Finals go first and wait for one in flight; the partial behind them waits for all; old answers do not count."""

    async def scenario(engine: ObservedEngine) -> None:
        order = (Priority.PARTIAL, Priority.PARTIAL, Priority.FINAL, Priority.FINAL)
        await asyncio.gather(*(engine.decode(window(priority)) for priority in order))
        load = engine.load()
        assert (load.final_wait_ms, load.partial_wait_ms) == (1_000, 3_000)
        assert load.final_share == pytest.approx(0.2)
        await asyncio.sleep(11)
        assert engine.load() == EngineLoad()

    observe(scenario)


def test_what_still_waits_counts_as_it_stands():
    """An engine that answers nothing is seen at once, not when it answers again."""

    async def scenario(engine: ObservedEngine) -> None:
        tasks = [asyncio.create_task(engine.decode(window(Priority.FINAL))) for _ in range(8)]
        await asyncio.sleep(5.5)
        assert engine.load().final_wait_ms >= 5_000
        assert engine.in_flight[Priority.FINAL] == 3
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(engine.in_flight.values()) == 0

    observe(scenario)


def test_the_batch_lane_is_not_counted():
    """A recording's windows wait as long as they do: no caption is late for it."""

    async def scenario(engine: ObservedEngine) -> None:
        await asyncio.gather(*(engine.decode(window(Priority.BATCH)) for _ in range(4)))
        assert engine.load() == EngineLoad()

    observe(scenario)


def test_failures_are_told_to_the_observer():
    """A failure is counted by its code, and raised."""
    told = []

    class Observer:
        def answered(self, priority, wait_s, figures):
            told.append(priority)

        def failed(self, priority, code):
            told.append((priority, code))

    async def scenario() -> None:
        failing = ScriptedEngine((), failures=[EngineFailed("engine_failed", "Broken.")])
        engine = ObservedEngine(failing, Observer())
        with pytest.raises(EngineFailed):
            await engine.decode(window(Priority.FINAL))
        await engine.decode(window(Priority.PARTIAL))

    asyncio.run(scenario())
    assert told == [(Priority.FINAL, "engine_failed"), Priority.PARTIAL]
