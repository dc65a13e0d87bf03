"""The dispatcher: order, batches, withdrawal, failures, overflow, closing, over a decoder that tells its work."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from recording_decoder import LIMIT_S, RecordingDecoder, finished, queued, run, window

from speechlane.bootstrap import engine_queue
from speechlane.engine import Hypothesis, Priority
from speechlane.errors import EngineFailed, InvalidInput, OverCapacity
from speechlane.local.dispatcher import EngineDispatcher
from speechlane.settings import Settings

pytestmark = pytest.mark.unit


def test_finals_go_before_partials_and_recordings() -> None:
    """Lower priorities go first, equal ones in order of arrival."""
    decoder = RecordingDecoder()

    async def scenario(dispatcher: EngineDispatcher, _: object) -> None:
        asked = [(10, Priority.BATCH), (11, Priority.PARTIAL), (12, Priority.FINAL), (13, Priority.FIRST_PARTIAL)]
        asked.append((14, Priority.FINAL))
        await finished(decoder, await queued(dispatcher, *[window(length, rank) for length, rank in asked]))

    run(decoder, scenario, max_batch=1)
    assert decoder.batches == [[1], [12], [14], [13], [11], [10]]


def test_compatible_requests_share_a_batch() -> None:
    """Requests of equal key are decoded together up to max_batch, whatever their live priority; others wait."""
    decoder = RecordingDecoder()

    async def scenario(dispatcher: EngineDispatcher, _: object) -> None:
        requests = [window(10, Priority.PARTIAL), window(11, padded=48_000), window(12), window(13), window(14)]
        answers = await finished(decoder, await queued(dispatcher, *requests))
        assert [answer.language for answer in answers] == ["10", "11", "12", "13", "14"]
        assert [answer.figures.batch_size for answer in answers] == [1, 1, 3, 3, 3]
        assert [answer.figures.padded_ms for answer in answers] == [2_000, 3_000, 2_000, 2_000, 2_000]

    run(decoder, scenario, max_batch=3)
    assert decoder.batches == [[1], [11], [12, 13, 14], [10]]


def test_lanes_never_share_a_batch() -> None:
    """A live window does not wait for a recording's chunk of the same shape, whose batches have their own bound."""
    decoder = RecordingDecoder()

    async def scenario(dispatcher: EngineDispatcher, _: object) -> None:
        requests = [window(length, Priority.BATCH) for length in (10, 11, 12)]
        await finished(decoder, await queued(dispatcher, *requests, window(13)))

    run(decoder, scenario, max_background_batch=2)
    assert decoder.batches == [[1], [13], [10, 11], [12]]


def test_batch_lane_does_not_starve() -> None:
    """A recording's chunk passed over `patience` times goes before partials, but not before finals."""
    decoder = RecordingDecoder()

    async def scenario(dispatcher: EngineDispatcher, _: object) -> None:
        requests = [window(10, Priority.BATCH), *[window(length, Priority.PARTIAL) for length in (11, 12, 13)]]
        await finished(decoder, await queued(dispatcher, *requests, window(14), window(15), window(16)))

    run(decoder, scenario, max_batch=1, patience=2)
    assert decoder.batches == [[1], [14], [15], [16], [10], [11], [12], [13]]


def test_first_partials_starve_no_long_speech() -> None:
    """A partial that was passed over three times takes its turn among first partials; finals still go before."""
    decoder = RecordingDecoder()

    async def scenario(dispatcher: EngineDispatcher, _: object) -> None:
        first = [window(length, Priority.FIRST_PARTIAL) for length in (11, 12, 13, 14, 15)]
        requests = [window(10, Priority.PARTIAL, source="long"), *first, window(16, Priority.FINAL)]
        await finished(decoder, await queued(dispatcher, *requests))

    run(decoder, scenario, max_batch=1)
    assert decoder.batches == [[1], [16], [11], [12], [10], [13], [14], [15]]


def test_cancelling_withdraws_a_waiting_request() -> None:
    """A request whose asker is cancelled before its turn is never decoded."""
    decoder = RecordingDecoder()

    async def scenario(dispatcher: EngineDispatcher, _: object) -> None:
        gone, kept = await queued(dispatcher, window(10), window(11))
        gone.cancel()
        await asyncio.sleep(0)
        outcomes = await finished(decoder, [gone, kept])
        assert isinstance(outcomes[0], asyncio.CancelledError)

    run(decoder, scenario)
    assert decoder.batches == [[1], [11]]


def test_cancelling_in_flight_harms_nobody() -> None:
    """The answer of a request that was cancelled while it was decoded is dropped; the next is served."""
    decoder = RecordingDecoder()

    async def scenario(dispatcher: EngineDispatcher, first: asyncio.Task[Hypothesis]) -> None:
        first.cancel()
        (answer,) = await finished(decoder, await queued(dispatcher, window(10)))
        assert isinstance(answer, Hypothesis)

    run(decoder, scenario)


def test_a_failing_request_fails_alone() -> None:
    """After a failed batch each request is tried by itself: neighbours get answers, the culprit its error."""
    decoder = RecordingDecoder(spoiled=[11])

    async def scenario(dispatcher: EngineDispatcher, _: object) -> None:
        answers = await finished(decoder, await queued(dispatcher, window(10), window(11), window(12)))
        assert [isinstance(answer, Hypothesis) for answer in answers] == [True, False, True]
        assert isinstance(answers[1], EngineFailed)
        assert answers[1].code == "engine_failed"
        assert "boom" in answers[1].message

    run(decoder, scenario)
    assert decoder.batches == [[1], [10, 11, 12], [10], [11], [12]]


def test_a_decoders_own_error_is_kept() -> None:
    """An error of ours passes unchanged, so that `retryable` says what the decoder meant."""
    error = EngineFailed("engine_failed", "no use", retryable=False)
    decoder = RecordingDecoder(spoiled=[10], error=error)

    async def scenario(dispatcher: EngineDispatcher, _: object) -> None:
        assert await finished(decoder, await queued(dispatcher, window(10))) == [error]

    run(decoder, scenario)


def test_a_bad_request_never_enters_the_queue() -> None:
    """What the decoder's check refuses is refused at once, though the worker is busy."""
    decoder = RecordingDecoder()

    async def scenario(dispatcher: EngineDispatcher, _: object) -> None:
        with pytest.raises(InvalidInput):
            await asyncio.wait_for(dispatcher.decode(window(10, padded=5)), LIMIT_S)

    run(decoder, scenario)
    assert decoder.batches == [[1]]


def test_a_full_queue_refuses_the_least() -> None:
    """A full queue refuses the newcomer, or the last in rank when the newcomer outranks it."""
    decoder = RecordingDecoder()

    async def scenario(dispatcher: EngineDispatcher, _: object) -> None:
        waiting = await queued(dispatcher, window(10, Priority.PARTIAL), window(11, Priority.PARTIAL))
        with pytest.raises(OverCapacity) as refused:
            await dispatcher.decode(window(12, Priority.PARTIAL))
        assert (refused.value.code, refused.value.limit) == ("engine_queue_full", 2)
        waiting += await queued(dispatcher, window(13, Priority.FIRST_PARTIAL))
        outcomes = await finished(decoder, waiting)
        assert [type(outcome) for outcome in outcomes] == [Hypothesis, OverCapacity, Hypothesis]

    run(decoder, scenario, max_waiting=2, max_batch=1)
    assert decoder.batches == [[1], [13], [10]]


def test_finals_are_always_taken() -> None:
    """The queue's bound refuses no final and counts none."""
    decoder = RecordingDecoder()

    async def scenario(dispatcher: EngineDispatcher, _: object) -> None:
        waiting = await queued(dispatcher, *[window(length) for length in (10, 11, 12)])
        waiting += await queued(dispatcher, window(13, Priority.PARTIAL))
        outcomes = await finished(decoder, waiting)
        assert all(isinstance(outcome, Hypothesis) for outcome in outcomes)

    run(decoder, scenario, max_waiting=1, max_batch=1)
    assert decoder.batches == [[1], [10], [11], [12], [13]]


def test_closing_finishes_what_runs_and_refuses_what_waits() -> None:
    """Closing lets the decode in flight end, refuses the queue as engine_closed, frees the model, ends the thread."""
    decoder = RecordingDecoder()

    async def scenario(dispatcher: EngineDispatcher, first: asyncio.Task[Hypothesis]) -> None:
        (waiting,) = await queued(dispatcher, window(10))
        closing = asyncio.create_task(dispatcher.aclose())
        with pytest.raises(EngineFailed) as refused:
            await waiting
        assert refused.value.code == "engine_closed"
        assert not decoder.closed
        decoder.free.set()
        await closing
        assert isinstance(await first, Hypothesis)
        assert not any(thread.is_alive() for thread in dispatcher._threads)

    run(decoder, scenario)
    assert decoder.batches == [[1]]
    assert decoder.closed


def test_workers_decode_at_the_same_time() -> None:
    """With two workers a second batch does not wait for the first; the model is freed once, when both have ended."""
    decoder = RecordingDecoder()

    async def scenario(dispatcher: EngineDispatcher, _: object) -> None:
        decoder.busy.clear()
        (second,) = await queued(dispatcher, window(2))
        assert await asyncio.to_thread(decoder.busy.wait, LIMIT_S)  # while the first is held
        (third,) = await queued(dispatcher, window(3))
        assert decoder.batches == [[1], [2]]
        outcomes = await finished(decoder, [second, third])
        assert all(isinstance(heard, Hypothesis) for heard in outcomes)
        await dispatcher.aclose()
        assert decoder.closed

    run(decoder, scenario, workers=2)


def test_figures_are_measured() -> None:
    """queued_ms is the wait in the queue, compute_ms the decode, by the dispatcher's clock."""
    decoder = RecordingDecoder()
    decoder.free.set()
    ticks = itertools.count(step=3)  # read when asked, when begun, when done: three seconds apart

    async def scenario() -> Hypothesis:
        dispatcher = EngineDispatcher(decoder, clock=lambda: float(next(ticks)))
        answer = await dispatcher.decode(window(16_000))
        await dispatcher.aclose()
        return answer

    figures = asyncio.run(scenario()).figures
    assert (figures.queued_ms, figures.compute_ms, figures.batch_size) == (3_000, 3_000, 1)


def test_the_worker_outlives_a_loop_that_is_gone() -> None:
    """An answer for a loop that was closed meanwhile is dropped; the worker goes on to free the model."""
    decoder = RecordingDecoder()

    async def abandon() -> EngineDispatcher:
        dispatcher = EngineDispatcher(decoder)
        await queued(dispatcher, window(10))
        assert await asyncio.to_thread(decoder.busy.wait, LIMIT_S)
        return dispatcher

    dispatcher = asyncio.run(abandon())  # cancels the asker and closes the loop
    decoder.free.set()
    asyncio.run(dispatcher.aclose())
    assert decoder.closed


def test_the_server_gives_the_queue_room_for_every_channel_of_every_session() -> None:
    """With `max_sessions` sessions of eight channels each, no partial is refused; one more would be."""
    decoder = RecordingDecoder()
    decoder.workers = 1  # as a `WhisperDecoder` tells

    async def scenario() -> None:
        dispatcher = engine_queue(decoder, Settings(max_sessions=2))
        first = asyncio.create_task(dispatcher.decode(window(1)))
        try:
            assert await asyncio.to_thread(decoder.busy.wait, 10)
            waiting = await queued(dispatcher, *[window(10 + n, Priority.PARTIAL) for n in range(16)])
            with pytest.raises(OverCapacity):
                await dispatcher.decode(window(99, Priority.PARTIAL))
            outcomes = await finished(decoder, [first, *waiting])
            assert all(isinstance(outcome, Hypothesis) for outcome in outcomes)
        finally:
            decoder.free.set()
            await dispatcher.aclose()

    asyncio.run(scenario())
