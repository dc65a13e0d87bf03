"""What an engine is busy with, measured from outside: who waited how long, and how much of the engine finals take."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from speechlane.engine import Capabilities, DecodeFigures, DecodeRequest, Engine, EngineIdentity, Hypothesis, Priority
from speechlane.errors import SpeechlaneError

WAITS_S = 5.0
"""The span over which waits are judged."""

SHARES_S = 10.0
"""The span over which the engine's time is shared out: some utterances of every speaker."""

BACKGROUND_PATIENCE_S = 30.0
"""What the batch lane is held back at most while the live lane is degraded, for each of its windows."""

_QUANTILE = 0.9
_SMOOTHING = 0.1


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """The engine's state as the live lane feels it; the batch lane's own waits are left out.

    ``final_wait_ms``, ``partial_wait_ms``: nine of ten windows answered in the last `WAITS_S` waited at most this long
    before the engine took them; what is waiting longer right now counts as it stands. ``final_share``: seconds of
    engine time that finals took, per second.
    """

    final_wait_ms: int = 0
    partial_wait_ms: int = 0
    final_share: float = 0.0


class EngineObserver(Protocol):
    """Whoever counts an engine's answers; called on the event loop."""

    def answered(self, priority: Priority, wait_s: float, figures: DecodeFigures) -> None: ...

    def failed(self, priority: Priority, code: str) -> None: ...


@dataclass(frozen=True, slots=True)
class _Answer:
    """One window's outcome: when it came, how long the window had waited, the engine time that it took."""

    at: float
    priority: Priority
    wait: float
    engine_time: float


class ObservedEngine:
    """An `Engine` that measures the one it wraps, and can hold the batch lane back."""

    def __init__(
        self, engine: Engine, observer: EngineObserver | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine, self._observer, self._clock = engine, observer, clock
        self._answers: deque[_Answer] = deque()
        self._asked: dict[object, tuple[float, Priority]] = {}
        self._compute_s = 0.0
        self._background = asyncio.Event()
        self._background.set()

    @property
    def identity(self) -> EngineIdentity:
        return self._engine.identity

    @property
    def capabilities(self) -> Capabilities:
        return self._engine.capabilities

    @property
    def in_flight(self) -> dict[Priority, int]:
        """Windows asked for and not answered, by priority."""
        counts = dict.fromkeys(Priority, 0)
        for _, priority in self._asked.values():
            counts[priority] += 1
        return counts

    def hold_background(self, held: bool) -> None:
        """Let the batch lane wait, or go on: one of its windows is long, and a final waits for the one in flight."""
        if held:
            self._background.clear()
        else:
            self._background.set()

    async def decode(self, request: DecodeRequest) -> Hypothesis:
        """Decode one window; see `Engine.decode`."""
        if request.priority is Priority.BATCH and not self._background.is_set():
            await _within(self._background.wait(), BACKGROUND_PATIENCE_S)
        key = object()
        asked = self._clock()
        self._asked[key] = (asked, request.priority)
        try:
            hypothesis = await self._engine.decode(request)
        except asyncio.CancelledError:
            # Withdrawn: what had waited longer than a decode takes is a wait as well.
            self._note(asked, request.priority, self._compute_s, 0.0)
            raise
        except SpeechlaneError as problem:
            self._note(asked, request.priority, 0.0, 0.0)
            if self._observer is not None:
                self._observer.failed(request.priority, problem.code)
            raise
        finally:
            del self._asked[key]
        figures = hypothesis.figures
        compute = figures.compute_ms / 1000
        self._compute_s += _SMOOTHING * (compute - self._compute_s)
        wait = self._note(asked, request.priority, compute, compute / figures.batch_size)
        if self._observer is not None:
            self._observer.answered(request.priority, wait, figures)
        return hypothesis

    def load(self) -> EngineLoad:
        """The load of this moment."""
        now = self._clock()
        while self._answers and self._answers[0].at < now - SHARES_S:
            self._answers.popleft()
        finals: list[float] = []
        partials: list[float] = []
        share = 0.0
        for answer in self._answers:
            if answer.at >= now - WAITS_S:
                (finals if answer.priority is Priority.FINAL else partials).append(answer.wait)
            if answer.priority is Priority.FINAL:
                share += answer.engine_time / SHARES_S
        waiting = [(now - asked - self._compute_s, priority) for asked, priority in self._asked.values()]
        return EngineLoad(
            final_wait_ms=_milliseconds(finals, (wait for wait, priority in waiting if priority is Priority.FINAL)),
            partial_wait_ms=_milliseconds(
                partials,
                (wait for wait, priority in waiting if priority in {Priority.FIRST_PARTIAL, Priority.PARTIAL}),
            ),
            final_share=share,
        )

    async def aclose(self) -> None:
        """Close the engine; see `Engine.aclose`. The batch lane is let go, to be refused there."""
        self._background.set()
        await self._engine.aclose()

    def _note(self, asked: float, priority: Priority, compute: float, engine_time: float) -> float:
        now = self._clock()
        wait = max(0.0, now - asked - compute)
        if priority is not Priority.BATCH:
            self._answers.append(_Answer(now, priority, wait, engine_time))
        return wait


async def _within(waiting: Coroutine[Any, Any, object], seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await waiting


def _milliseconds(answered: list[float], waiting: Iterable[float]) -> int:
    """Nine of ten of the answered waits (nearest rank), or the longest that still lasts if that is more."""
    answered.sort()
    usual = answered[math.ceil(_QUANTILE * len(answered)) - 1] if answered else 0.0
    return round(max(usual, *waiting, 0.0) * 1000)
