"""The dispatcher: sources take turns, and requests are prepared beside the worker."""

from __future__ import annotations

import asyncio

import pytest
from recording_decoder import LIMIT_S, RecordingDecoder, finished, queued, run, window

from speechlane.engine import DecodeRequest, Hypothesis, Priority
from speechlane.errors import EngineFailed
from speechlane.local.dispatcher import EngineDispatcher

pytestmark = pytest.mark.unit


def test_sources_take_turns() -> None:
    """Within one priority a source that asked much waits behind those that asked little, and still comes to its end."""
    decoder = RecordingDecoder()

    async def scenario(dispatcher: EngineDispatcher, _: object) -> None:
        asked = [(10, "many"), (11, "many"), (12, "many"), (13, "one"), (14, "two"), (15, "two")]
        requests = [window(length, Priority.PARTIAL, source=source) for length, source in asked]
        await finished(decoder, await queued(dispatcher, *requests, window(16, source="many")))

    run(decoder, scenario, max_batch=1)
    assert decoder.batches == [[1], [16], [13], [14], [10], [15], [11], [12]]


def test_one_that_asks_again_at_once_starves_nobody() -> None:
    """A source that always has a request ready gets every other turn beside one with a long queue."""
    decoder = RecordingDecoder()

    async def scenario(dispatcher: EngineDispatcher, _: object) -> None:
        waiting = await queued(dispatcher, *[window(length, source="long") for length in (10, 11, 12)])
        decoder.free.set()
        for length in (20, 21, 22):
            await dispatcher.decode(window(length, source="eager"))
        await asyncio.gather(*waiting)

    run(decoder, scenario, max_batch=1)
    served = [batch[0] for batch in decoder.batches[1:]]
    assert sorted(served) == [10, 11, 12, 20, 21, 22]
    assert abs(served.index(12) - served.index(22)) <= 2


def test_requests_are_prepared_beside_the_worker() -> None:
    """While the worker is held, what waits is prepared on another thread, so that the model's thread finds it ready."""
    decoder = RecordingDecoder()

    async def scenario(dispatcher: EngineDispatcher, _: object) -> None:
        decoder.prepared_on.clear()
        waiting = await queued(dispatcher, window(10))
        await asyncio.to_thread(dispatcher._waiting[0].prepared.result, LIMIT_S)
        assert len(decoder.prepared_on) == 1
        assert "prepare" in decoder.prepared_on.pop()
        await finished(decoder, waiting)
        assert not decoder.prepared_on

    run(decoder, scenario)


def test_a_fault_in_preparing_is_its_own() -> None:
    """A request that cannot be prepared fails; its neighbours in the batch get their answers."""

    class Picky(RecordingDecoder):
        def prepare(self, request: DecodeRequest) -> int:
            if len(request.samples) == 11:
                raise ValueError("odd")
            return super().prepare(request)

    decoder = Picky()

    async def scenario(dispatcher: EngineDispatcher, _: object) -> None:
        answers = await finished(decoder, await queued(dispatcher, window(10), window(11)))
        assert isinstance(answers[0], Hypothesis)
        assert isinstance(answers[1], EngineFailed)

    run(decoder, scenario)
