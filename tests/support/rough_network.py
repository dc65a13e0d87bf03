"""A network that misbehaves: a TCP proxy that cuts, delays, half-closes and swallows, by a seed."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager, suppress

MISHAPS = ("cut", "half_close", "swallow")


class RoughNetwork:
    """Forwards connections to a port; each of the first ``mishaps`` ends in one, after a random number of bytes."""

    def __init__(self, port: int, seed: int, *, mishaps: int, most_bytes: int) -> None:
        self.port = port
        self._chance, self._most_bytes = random.Random(seed), most_bytes
        self._left = mishaps
        self._links: set[asyncio.Task] = set()
        self.happened: list[str] = []

    @asynccontextmanager
    async def serving(self):
        """Listen on a free loopback port; yields the URL."""
        server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            for link in self._links:
                link.cancel()
            await asyncio.gather(*self._links, return_exceptions=True)

    async def _forward(self, client_reader, client_writer) -> None:
        self._links.add(asyncio.current_task())
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            client_writer.transport.abort()
            return
        mishap, room = None, 1 << 40
        if self._left:
            self._left -= 1
            mishap, room = self._chance.choice(MISHAPS), self._chance.randrange(1, self._most_bytes)
            self.happened.append(mishap)
        link = _Link(room, self._chance)
        ways = [
            asyncio.create_task(link.pump(client_reader, server_writer)),
            asyncio.create_task(link.pump(server_reader, client_writer)),
        ]
        broken = asyncio.create_task(link.broken.wait())
        try:
            await asyncio.wait([*ways, broken], return_when=asyncio.FIRST_COMPLETED)
            if broken.done() and mishap == "swallow":
                await asyncio.wait(ways)  # nothing comes through any more; each side finds out by itself
            elif broken.done() and mishap == "half_close":
                with suppress(OSError):
                    client_writer.write_eof()
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*ways, broken):
                task.cancel()
            await asyncio.gather(*ways, broken, return_exceptions=True)
            client_writer.transport.abort()
            server_writer.transport.abort()


class _Link:
    """Both ways of one connection: once so many bytes have passed, no more do."""

    def __init__(self, room: int, chance: random.Random) -> None:
        self._room, self._chance = room, chance
        self.broken = asyncio.Event()

    async def pump(self, reader, writer) -> None:
        with suppress(OSError):
            while data := await reader.read(self._chance.randrange(1, 8_192)):
                passing = data[: self._room]
                self._room -= len(passing)
                if passing:
                    writer.write(passing)
                    await writer.drain()
                if not self._room:
                    self.broken.set()
                if self._chance.random() < 0.05:
                    await asyncio.sleep(self._chance.random() * 0.01)
