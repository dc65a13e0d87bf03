"""Messages on their way to one connection: finals are kept, of partials only the newest waits for a slow reader."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from speechlane.errors import SpeechlaneError
from speechlane.live.messages import Message, encode, error

MAX_WAITING_BYTES = 1 << 20
"""Text waiting for a slow reader over which none of its own input is taken in."""

_COALESCED = {"caption.partial", "audio.ack"}
_LINES = 200  # of the log, read at a time


class Outgoing:
    """A queue of durable messages; a newer partial or ack of a channel replaces the one still waiting."""

    def __init__(self, *, opened: bool = True, coalesced: Callable[[], None]) -> None:
        """A connection that resumes a session is ``opened`` by its first message; until then nothing is queued.

        ``coalesced`` is called for each partial that a newer one replaces.
        """
        self._coalesced = coalesced
        self._queue: OrderedDict[object, str | Iterator[bytes]] = OrderedDict()
        self._count = 0
        self._bytes = 0
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._opened = opened
        self._closed = False
        self.close_code: int | None = None
        """The code to close the connection with, once the queue is empty; None: the connection is gone already."""
        self.close_reason = ""

    def open(self) -> None:
        """From now on messages are queued."""
        self._opened = True

    def put(self, message: Message, text: str) -> None:
        """Queue a message, given with its text form, behind those before it."""
        if self._closed or not self._opened:
            return
        kind = message["type"]
        key: object = (kind, message.get("channel"))
        if kind in _COALESCED:
            replaced = self._queue.pop(key, "")
            self._bytes -= len(replaced)  # type: ignore[arg-type]  # lines are never under such a key
            if replaced and kind == "caption.partial":
                self._coalesced()
        else:
            key = self._next()
        self._queue[key] = text
        self._bytes += len(text)
        if self._bytes >= MAX_WAITING_BYTES:
            self._room.clear()
        self._changed.set()

    def put_lines(self, lines: Iterator[bytes]) -> None:
        """Queue messages that stand in the log, read as the client reads them, so that they take no memory."""
        if not self._closed:
            self._queue[self._next()] = lines
            self._changed.set()

    def _next(self) -> int:
        self._count += 1
        return self._count

    @property
    def closed(self) -> bool:
        """Nothing follows what waits."""
        return self._closed

    async def room(self) -> None:
        """Return once the client has read enough of what waits for it."""
        await self._room.wait()

    def close(self, code: int | None = None, reason: str = "") -> None:
        """Nothing follows; the first caller's code holds. Without a code what waits is dropped: nobody reads it."""
        if not self._closed:
            self._closed, self.close_code, self.close_reason = True, code, reason
            if code is None:
                self._queue.clear()
            self._room.set()
        self._changed.set()

    def take_over(self, problem: SpeechlaneError, code: int) -> None:
        """A newer connection has the session: of what waits here nothing but this is told."""
        if not self._closed:
            self._queue.clear()
            self._bytes = 0
            self._opened = True
            self.put(message := error(problem), encode(message))
            self.close(code, problem.code)

    async def __aiter__(self) -> AsyncIterator[str]:
        """The messages as they are sent, until closed and empty."""
        while True:
            while self._queue:
                _, waiting = self._queue.popitem(last=False)
                if isinstance(waiting, str):
                    self._bytes -= len(waiting)
                    if self._bytes < MAX_WAITING_BYTES:
                        self._room.set()
                    yield waiting
                    continue
                while lines := await asyncio.to_thread(list, islice(waiting, _LINES)):
                    for line in lines:
                        yield json.loads(line)["message"]
            if self._closed:
                return
            self._changed.clear()
            await self._changed.wait()


@dataclass(frozen=True, slots=True)
class Resumption:
    """A new connection of the client, whose stream goes on at ``stored_bytes``."""

    outgoing: Outgoing
    after_seq: int
    stored_bytes: int
