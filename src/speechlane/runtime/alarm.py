"""A timer for deadlines that mostly move on before they come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Alarm:
    """Calls ``ring`` at the moment set, or before: who is woken looks again.

    So a deadline that moves with each frame costs one timer in its whole length, not one a frame.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0

    def set(self, due: int, now: int) -> None:
        """Ring at ``due`` at the latest; both in ms."""
        if self._timer is not None and self._due <= due:
            return
        self.cancel()
        self._due = due
        self._timer = asyncio.get_running_loop().call_later((due - now) / 1000, self._fire)

    def cancel(self) -> None:
        """Nobody waits any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        self._ring()
