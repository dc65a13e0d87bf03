"""The engine pool: who is asked, what a failing replica costs, that nothing is lost."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from speechlane.engine import DecodeRequest, Hypothesis
from speechlane.engine.scripted import ScriptedEngine, ScriptedWord
from speechlane.engine.scripted_audio import scripted_samples
from speechlane.errors import ConfigurationInvalid, EngineFailed, InvalidInput, OverCapacity, SpeechlaneError
from speechlane.runtime.engine_pool import REST_S, EnginePool

pytestmark = pytest.mark.unit

SCRIPT = [ScriptedWord(" hello", 1_000, 5_000)]
WINDOW = np.frombuffer(scripted_samples(0, 16_000), np.float32)
REQUEST = DecodeRequest(WINDOW, 32_000, None)
FAILED = EngineFailed("engine_failed", "gone")
HOPELESS = EngineFailed("engine_failed", "no use", retryable=False)
FULL = OverCapacity("engine_queue_full", "full")


def replica(calls: list[str], name: str, *failures: SpeechlaneError | None, free: asyncio.Event | None = None):
    """A scripted replica that notes its calls under its name, and answers once it is free."""

    async def note(_: DecodeRequest) -> None:
        calls.append(name)
        if free is not None:
            await free.wait()

    return ScriptedEngine(SCRIPT, failures=failures, before_answer=note)


@pytest.mark.parametrize("failure", [FAILED, FULL])
def test_a_failed_replica_costs_no_answer(failure: SpeechlaneError) -> None:
    """Where one replica fails, or is full, another answers; the asker does not learn of it."""
    calls: list[str] = []
    pool = EnginePool([replica(calls, "a", failure), replica(calls, "b")])
    assert asyncio.run(pool.decode(REQUEST)).text == " hello"
    assert calls == ["a", "b"]


def test_each_replica_is_asked_once() -> None:
    """When all fail, the last one's error is told, and nobody was asked twice."""
    calls: list[str] = []
    pool = EnginePool([replica(calls, "a", FAILED), replica(calls, "b", FAILED)])
    with pytest.raises(EngineFailed):
        asyncio.run(pool.decode(REQUEST))
    assert calls == ["a", "b"]


@pytest.mark.parametrize(("failure", "request_"), [(HOPELESS, REQUEST), (None, DecodeRequest(WINDOW, 5, None))])
def test_what_no_replica_can_mend_is_told_at_once(failure: EngineFailed | None, request_: DecodeRequest) -> None:
    """A request's own fault, and a failure that cannot pass, go to no second replica."""
    calls: list[str] = []
    pool = EnginePool([replica(calls, "a", failure), replica(calls, "b")])
    with pytest.raises((EngineFailed, InvalidInput)):
        asyncio.run(pool.decode(request_))
    assert "b" not in calls


def test_the_least_loaded_is_asked_first() -> None:
    """Requests at once spread over the replicas; a cancelled one frees its place."""

    async def scenario() -> list[str]:
        calls: list[str] = []
        free = asyncio.Event()
        pool = EnginePool([replica(calls, name, free=free) for name in ("a", "b", "c")])
        tasks = [asyncio.create_task(pool.decode(REQUEST)) for _ in range(6)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(pool.decode(REQUEST)))
        await asyncio.sleep(0)
        free.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(outcome, Hypothesis) for outcome in outcomes].count(False) == 1
        return calls

    assert asyncio.run(scenario()) == ["a", "b", "c", "a", "b", "c", "b"]


def test_a_failed_replica_rests() -> None:
    """A replica that failed is asked last for a while, then as before."""
    calls: list[str] = []
    now = 0.0
    pool = EnginePool([replica(calls, "a", FAILED), replica(calls, "b")], clock=lambda: now)
    asyncio.run(pool.decode(REQUEST))
    asyncio.run(pool.decode(REQUEST))
    now = REST_S + 1
    asyncio.run(pool.decode(REQUEST))
    assert calls == ["a", "b", "b", "a"]


def test_replicas_must_be_alike() -> None:
    """Replicas that a record would tell apart are no replicas, and a pool of none is none."""
    for replicas in ([], [ScriptedEngine(SCRIPT), ScriptedEngine(SCRIPT, languages=("en", "de"))]):
        with pytest.raises(ConfigurationInvalid) as refused:
            EnginePool(replicas)
        assert refused.value.code == "replicas_differ"


def test_closing_closes_all() -> None:
    """A fault in closing one replica leaves no other open."""

    class Stuck(ScriptedEngine):
        async def aclose(self) -> None:
            raise FAILED

    async def scenario() -> None:
        other = ScriptedEngine(SCRIPT)
        with pytest.raises(EngineFailed, match="gone"):
            await EnginePool([Stuck(SCRIPT), other]).aclose()
        with pytest.raises(EngineFailed, match="closed"):
            await other.decode(REQUEST)

    asyncio.run(scenario())
