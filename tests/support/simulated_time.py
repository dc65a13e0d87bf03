"""An event loop whose clock jumps to the next timer instead of waiting for it: minutes of traffic in a moment."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any


class _Jumping(selectors.DefaultSelector):
    """Waits for nothing: time passes at once when there is nothing to do."""

    now = 0.0

    def select(self, timeout: float | None = None):
        ready = super().select(0)
        assert ready or timeout is not None, "everything waits for something that no timer brings"
        if not ready and timeout:
            self.now += timeout
        return ready


def run_simulated(main: Coroutine[Any, Any, object]) -> None:
    """Run a coroutine to its end; ``loop.time()`` is the clock. Nothing in it may use threads."""

    def make() -> asyncio.AbstractEventLoop:
        selector = _Jumping()
        loop = asyncio.SelectorEventLoop(selector)
        loop.time = lambda: selector.now  # type: ignore[method-assign]
        return loop

    with asyncio.Runner(loop_factory=make) as runner:
        runner.run(main)
