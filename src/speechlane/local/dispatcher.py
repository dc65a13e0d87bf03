"""One model, many askers: worker threads that own the model and take their work from one bounded priority queue.

There is never a lock per session. Requests that may share a batch are decoded together, finals go before partials,
sources take turns, and the batch lane uses what is left, with a bound on how long it can be passed over. What can be
computed of a request alone is computed beside the worker, while it has other work.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import Counter, OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from speechlane.audio import position_to_ms
from speechlane.engine import Priority
from speechlane.engine.checks import QUEUE_FULL, engine_closed
from speechlane.errors import EngineFailed, OverCapacity, SpeechlaneError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence
    from concurrent.futures import Future

    from speechlane.engine import Capabilities, DecodeRequest, EngineIdentity, Hypothesis


_REMEMBERED_SOURCES = 4096


_PARTIAL_PATIENCE = 3  # live batches after which a waiting partial ranks with first partials


class BatchDecoder(Protocol):
    """A model that decodes several requests at once, in one thread; `WhisperDecoder` is one."""

    @property
    def identity(self) -> EngineIdentity: ...

    @property
    def capabilities(self) -> Capabilities: ...

    def check(self, request: DecodeRequest) -> None:
        """Raise InvalidInput for what the model cannot take; called on the asker's thread."""
        ...

    def batch_key(self, request: DecodeRequest) -> Hashable:
        """Only requests with equal keys share a batch."""
        ...

    def prepare(self, request: DecodeRequest) -> Any:
        """What one request needs that no model is needed for; called on any thread, several at once."""
        ...

    def decode_batch(self, requests: Sequence[DecodeRequest], prepared: Sequence[Any]) -> list[Hypothesis]:
        """Answers in the order of the requests, of each of which `prepare` has been called."""
        ...

    def close(self) -> None:
        """Free the model."""
        ...


@dataclass(slots=True, eq=False)
class _Waiting:
    """A request in the queue. ``order`` counts arrivals; ``alone`` after its batch failed."""

    request: DecodeRequest
    key: Hashable
    order: int
    future: asyncio.Future[Hypothesis]
    asked_at: float
    prepared: Future[Any]
    alone: bool = False
    passed_over: int = 0

    @property
    def is_background(self) -> bool:
        return self.request.priority is Priority.BATCH


class EngineDispatcher:
    """An `Engine` over a `BatchDecoder`. Call it from one event loop; the decoder is used by the workers' threads only.

    Order: lower `Priority` first; within one, sources take turns (the one that was served longest ago first, its
    second request behind everybody's first), then first come, first served. A request of the batch lane that was
    passed over ``patience`` times goes before partials, never before finals: a final waits for the decode in flight and
    for finals before it, nothing else. A partial that was passed over three times ranks with first
    partials: else short remarks of many sessions would starve one long speech. The two lanes never share a batch, so
    that no caption waits for a recording's chunk.

    When the queue is full the newcomer is refused, unless it outranks the last in the queue, which is then refused in
    its stead. Finals are always taken: a channel has one at a time, so that the number of sessions bounds them.

    Args:
        decoder: the loaded model; `aclose` closes it.
        max_batch: live requests decoded together at most. On a CPU more than four no longer save anything.
        max_background_batch: batch-lane requests decoded together at most; one decode is what a final may wait for.
        workers: batches decoded at the same time; on a GPU a second may fill the gaps of the first.
        max_waiting: requests in the queue, finals apart, at most; each live channel has one at a time.
        patience: decodes of the live lane that may go before a waiting request of the batch lane.
        preparers: threads that prepare requests.
        clock: seconds, monotonic; measures the figures.
    """

    def __init__(
        self,
        decoder: BatchDecoder,
        *,
        max_batch: int = 4,
        max_background_batch: int = 1,
        workers: int = 1,
        max_waiting: int = 256,
        patience: int = 8,
        preparers: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._decoder = decoder
        self._max_batch = max_batch
        self._max_background_batch = max_background_batch
        self._max_waiting = max_waiting
        self._patience = patience
        self._clock = clock
        self._waiting: list[_Waiting] = []
        self._changed = threading.Condition()  # guards the queue and the two below
        self._closed = self._freed = False
        self._arrivals = 0
        self._batches = 0
        self._served: OrderedDict[str, int] = OrderedDict()  # the batch that last held a source's request, oldest first
        self._preparers = ThreadPoolExecutor(preparers, thread_name_prefix="speechlane-engine-prepare")
        self._threads = [
            threading.Thread(target=self._work, name=f"speechlane-engine-{number}", daemon=True)
            for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def identity(self) -> EngineIdentity:
        return self._decoder.identity

    @property
    def capabilities(self) -> Capabilities:
        return self._decoder.capabilities

    async def decode(self, request: DecodeRequest) -> Hypothesis:
        """Decode one window; see `Engine.decode`.

        Raises:
            InvalidInput: the model's capabilities exclude the request.
            OverCapacity: ``engine_queue_full``.
            EngineFailed: ``engine_closed``, or the model failed.
        """
        self._decoder.check(request)
        waiting = self._enqueue(request, asyncio.get_running_loop().create_future())
        try:
            return await waiting.future
        except asyncio.CancelledError:
            with self._changed:
                if waiting in self._waiting:
                    self._waiting.remove(waiting)
                    waiting.prepared.cancel()
            raise

    async def aclose(self) -> None:
        """Finish the decode in flight, refuse what waits, free the model. Closing twice does nothing more."""
        with self._changed:
            self._closed = True
            refused, self._waiting = self._waiting, []
            self._changed.notify_all()
        for waiting in refused:
            _settle(waiting, engine_closed())
        await asyncio.to_thread(self._join)
        self._preparers.shutdown(wait=False, cancel_futures=True)

    def _join(self) -> None:
        """Wait for the workers, then free the model, once."""
        for thread in self._threads:
            thread.join()
        with self._changed:
            first, self._freed = not self._freed, True
        if first:
            self._decoder.close()

    def _enqueue(self, request: DecodeRequest, future: asyncio.Future[Hypothesis]) -> _Waiting:
        with self._changed:
            if self._closed:
                raise engine_closed()
            self._arrivals += 1
            key, asked_at = self._decoder.batch_key(request), self._clock()
            prepared = self._preparers.submit(self._decoder.prepare, request)
            waiting = _Waiting(request, key, self._arrivals, future, asked_at, prepared)
            self._waiting.append(waiting)
            bounded = [other for other in self._waiting if other.request.priority is not Priority.FINAL]
            if len(bounded) > self._max_waiting:
                last = max(bounded, key=self._turns())
                self._waiting.remove(last)
                last.prepared.cancel()
                if last is waiting:
                    raise self._full()
                _settle(last, self._full())
            self._changed.notify()
        return waiting

    def _full(self) -> OverCapacity:
        return OverCapacity(
            QUEUE_FULL,
            f"The engine's queue holds its limit of {self._max_waiting} windows. Ask again later, or another route.",
            limit=self._max_waiting,
        )

    def _work(self) -> None:
        """A worker thread: until closed, take the next batch and answer it."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                batch = self._take()
            self._answer(batch)

    def _take(self) -> list[_Waiting]:
        """Remove and return the requests to decode next."""
        turn = self._turns()
        first = min(self._waiting, key=turn)
        if first.alone:
            batch = [first]
        else:
            room = self._max_background_batch if first.is_background else self._max_batch
            alike = [
                waiting
                for waiting in self._waiting
                if waiting.key == first.key and waiting.is_background == first.is_background and not waiting.alone
            ]
            batch = sorted(alike, key=turn)[:room]
        self._waiting = [waiting for waiting in self._waiting if waiting not in batch]
        if not first.is_background:
            for waiting in self._waiting:
                waiting.passed_over += 1
        self._remember(waiting.request.source for waiting in batch)
        return batch

    def _turns(self) -> Callable[[_Waiting], tuple[float, int, int, int]]:
        """Whose turn it is: the lowest. Patience at its end puts a request between finals and partials."""
        before: Counter[tuple[float, str]] = Counter()
        nth = {}
        for waiting in self._waiting:  # in order of arrival, but for those whose batch failed
            place = (self._rank(waiting), waiting.request.source)
            nth[waiting.order] = before[place]
            before[place] += 1

        def turn(waiting: _Waiting) -> tuple[float, int, int, int]:
            served = self._served.get(waiting.request.source, 0)
            return (self._rank(waiting), nth[waiting.order], served, waiting.order)

        return turn

    def _rank(self, waiting: _Waiting) -> float:
        if waiting.is_background and waiting.passed_over >= self._patience:
            return Priority.FINAL + 0.5
        if waiting.request.priority is Priority.PARTIAL and waiting.passed_over >= _PARTIAL_PATIENCE:
            return Priority.FIRST_PARTIAL
        return waiting.request.priority

    def _remember(self, sources: Iterable[str]) -> None:
        self._batches += 1
        for source in sources:
            self._served[source] = self._batches
            self._served.move_to_end(source)
        while len(self._served) > _REMEMBERED_SOURCES:
            self._served.popitem(last=False)

    def _answer(self, batch: list[_Waiting]) -> None:
        started = self._clock()
        try:
            prepared = [self._prepared(waiting) for waiting in batch]
            hypotheses = self._decoder.decode_batch([waiting.request for waiting in batch], prepared)
            answers = list(zip(batch, hypotheses, strict=True))
        except Exception as error:  # noqa: BLE001 - the thread must outlive any decoder's fault
            self._recover(batch, error)
            return
        compute_ms = round((self._clock() - started) * 1000)
        for waiting, hypothesis in answers:
            figures = replace(
                hypothesis.figures,
                queued_ms=round((started - waiting.asked_at) * 1000),
                compute_ms=compute_ms,
                batch_size=len(batch),
                padded_ms=position_to_ms(waiting.request.padded_samples),
            )
            _settle(waiting, replace(hypothesis, figures=figures))

    def _prepared(self, waiting: _Waiting) -> Any:
        """What was prepared; what nobody has begun is prepared here, so that no final waits behind partials for it."""
        return self._decoder.prepare(waiting.request) if waiting.prepared.cancel() else waiting.prepared.result()

    def _recover(self, batch: list[_Waiting], error: Exception) -> None:
        """One request's fault is not its neighbours': after a failed batch each is tried alone, in its turn."""
        if len(batch) == 1:
            _settle(batch[0], _as_engine_error(error))
            return
        with self._changed:
            closed = self._closed
            if not closed:
                self._waiting.extend(batch)
                for waiting in batch:
                    waiting.alone = True
        if closed:
            for waiting in batch:
                _settle(waiting, _as_engine_error(error))


def _as_engine_error(error: Exception) -> SpeechlaneError:
    if isinstance(error, SpeechlaneError):
        return error
    failed = EngineFailed("engine_failed", f"The engine raised {type(error).__name__}: {error}. Try another engine.")
    failed.__cause__ = error
    return failed


def _settle(waiting: _Waiting, outcome: Hypothesis | SpeechlaneError) -> None:
    """Settle a request's future on its own loop; one that was cancelled has nobody left to tell."""

    def settle() -> None:
        if waiting.future.done():
            return
        if isinstance(outcome, SpeechlaneError):
            waiting.future.set_exception(outcome)
        else:
            waiting.future.set_result(outcome)

    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        waiting.future.get_loop().call_soon_threadsafe(settle)
