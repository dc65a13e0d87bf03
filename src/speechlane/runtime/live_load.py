"""Joins an engine's measured load with the sessions that make it: lets them in, and tells them the ladder's step."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from speechlane.live.events import Step
from speechlane.router import Route
from speechlane.runtime.engine_load import ObservedEngine
from speechlane.runtime.governor import Governor
from speechlane.runtime.live_driver import LiveDriver

TICK_S = 0.5
"""How often the load is looked at while there are sessions."""


class LiveLoad:
    """The load of one engine, shared by all sessions whose first route it is."""

    def __init__(
        self,
        engine: ObservedEngine,
        governor: Governor | None = None,
        *,
        tick_s: float = TICK_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine, self._governor, self._tick_s, self._clock = engine, governor or Governor(), tick_s, clock
        self._drivers: set[LiveDriver] = set()
        self._told: Step | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def level(self) -> int:
        """The ladder's step as a number: 0 none, 1 slower partials, 2 finals only, 3 offload."""
        return self._governor.level

    def admit(self, route: Route, channels: int) -> None:
        """Let a session of so many channels in that begins on ``route``; one that begins on another engine always.

        Raises:
            OverCapacity: ``over_capacity``, see `Governor.admit`.
        """
        if route.identity == self._engine.identity:
            self._governor.admit(self._clock(), self._engine.load(), self._channels, channels)

    def join(self, driver: LiveDriver) -> None:
        """Count a session in and tell it the step; call it on the event loop that runs the session."""
        first, own = driver.session.head.routes[0].identity, self._engine.identity
        if (first.engine, first.pin) != (own.engine, own.pin):  # its version may be newer than the session
            return
        self._drivers.add(driver)
        driver.load_changed(self._told, 0)
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch(), name="live load")

    def leave(self, driver: LiveDriver) -> None:
        """Count a session out."""
        self._drivers.discard(driver)

    @property
    def _channels(self) -> int:
        return sum(driver.session.head.config.timelines for driver in self._drivers if not driver.over)

    async def _watch(self) -> None:
        """Look and tell, until the last session has gone and the ladder stands at its foot."""
        while self._drivers or self._governor.level:
            self.look()
            await asyncio.sleep(self._tick_s)
        self._watching = None

    def look(self) -> None:
        """Take the load of this moment; tell every session when the step has changed."""
        load = self._engine.load()
        can_move = any(len(driver.session.head.routes) > 1 for driver in self._drivers)
        step = self._governor.update(self._clock(), load, self._channels, can_move=can_move)
        if step != self._told:
            self._told = step
            self._engine.hold_background(step is not None)
            for driver in self._drivers:
                driver.load_changed(step, max(load.final_wait_ms, load.partial_wait_ms))
