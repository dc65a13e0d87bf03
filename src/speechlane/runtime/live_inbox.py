"""What one client has sent and the session's loop has not taken yet: in order, and bounded."""

from __future__ import annotations

import asyncio
from collections import deque

from speechlane.live.events import Event

MAX_WAITING_BYTES = 1 << 20
"""Client bytes that may wait; one frame more than that is taken."""

ITEM_BYTES = 256
"""What a queued message costs besides its audio."""


class Inbox:
    """Audio as bytes, everything else as events."""

    def __init__(self) -> None:
        self._items: deque[bytes | Event] = deque()
        self._bytes = 0
        self._room = asyncio.Event()
        self._room.set()

    def __len__(self) -> int:
        return len(self._items)

    async def room(self) -> None:
        """Return once there is room for more."""
        await self._room.wait()

    def put(self, item: bytes | Event) -> None:
        """Queue an item behind those before it."""
        self._count(item, 1)
        self._items.append(item)

    def put_first(self, item: Event) -> None:
        """Queue an event that is to be taken next."""
        self._count(item, 1)
        self._items.appendleft(item)

    def take(self) -> bytes | Event:
        """The next item; there must be one."""
        item = self._items.popleft()
        self._count(item, -1)
        return item

    def close(self) -> None:
        """Nothing is taken any more: let go of what waits, and of those who wait for room."""
        self._items.clear()
        self._bytes = 0
        self._room.set()

    def _count(self, item: bytes | Event, sign: int) -> None:
        self._bytes += sign * (ITEM_BYTES + (len(item) if isinstance(item, bytes) else 0))
        if self._bytes > MAX_WAITING_BYTES:
            self._room.clear()
        elif not self._room.is_set():
            self._room.set()
