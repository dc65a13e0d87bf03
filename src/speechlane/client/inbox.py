"""Messages that wait for the client's program to look at them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

_COALESCED = frozenset({"caption.partial", "audio.ack"})


class Inbox:
    """A queue that never makes the connection wait: of partials and acks only the newest of a channel is kept.

    So acknowledgements and keepalives are heard however slow the program is; what waits is as long as the text.
    """

    def __init__(self) -> None:
        self._waiting: deque[dict[str, Any]] = deque()
        self._changed = asyncio.Event()
        self._error: Exception | None = None
        self.closed = False

    def put(self, message: dict[str, Any]) -> None:
        """Queue a message behind those before it; a newer partial takes the place of one that still waits."""
        if self.closed:
            return
        if message["type"] in _COALESCED:
            kind = (message["type"], message.get("channel"))
            self._waiting = deque(old for old in self._waiting if (old["type"], old.get("channel")) != kind)
        self._waiting.append(message)
        self._changed.set()

    def close(self, error: Exception | None = None) -> None:
        """Nothing follows; behind what waits the iteration ends, with the error if given. The first call counts."""
        if not self.closed:
            self.closed, self._error = True, error
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            if self.closed:
                break
            self._changed.clear()
            await self._changed.wait()
        if self._error is not None:
            raise self._error
