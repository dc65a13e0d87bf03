"""Messages on their way to one client: finals are kept, of partials only the newest waits for a slow reader."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from speechlane.live.messages import Message, encode

MAX_WAITING = 1_000
"""Messages waiting for a slow reader over which none of its own input is taken in."""

_COALESCED = {"caption.partial", "audio.ack"}


class Outgoing:
    """An unbounded queue of durable messages; a newer partial or ack of a channel replaces the one still waiting."""

    def __init__(self) -> None:
        self._queue: deque[Message] = deque()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._closed = False
        self.close_code: int | None = None
        """The code to close the connection with, once the queue is empty; None: the connection is gone already."""
        self.close_reason = ""

    def put(self, message: Message, *, durable: bool) -> None:
        """Queue a message behind those before it."""
        if self._closed:
            return
        kind = message["type"]
        if not durable and kind in _COALESCED:
            channel = message.get("channel")
            self._queue = deque(
                waiting for waiting in self._queue if waiting["type"] != kind or waiting.get("channel") != channel
            )
        self._queue.append(message)
        if len(self._queue) >= MAX_WAITING:
            self._room.clear()
        self._changed.set()

    async def room(self) -> None:
        """Return once the client has read enough of what waits for it."""
        await self._room.wait()

    def close(self, code: int | None = None, reason: str = "") -> None:
        """Nothing follows; the first caller's code holds."""
        if not self._closed:
            self._closed, self.close_code, self.close_reason = True, code, reason
            self._room.set()
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[str]:
        """The messages as they are sent, until closed and empty."""
        while True:
            while self._queue:
                message = self._queue.popleft()
                if len(self._queue) < MAX_WAITING:
                    self._room.set()
                yield encode(message)
            if self._closed:
                return
            self._changed.clear()
            await self._changed.wait()
