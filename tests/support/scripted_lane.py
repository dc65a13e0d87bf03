"""A live lane that speaks the protocol by a script, connections lost and sessions resumed included, in a few lines.

Its captions are made of the very bytes it was sent, so a client that lost, doubled or moved a byte shows it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

CHUNK = 1_000
"""Bytes behind one caption: 10 ms of the scripted audio are one byte."""
BLOCK = 300
"""Only whole blocks are stored: what came of the next one is lost with its connection."""


def caption_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def captions_of(data: bytes) -> list[str]:
    """What a session of these bytes says, the rest behind the last whole chunk included."""
    return [caption_of(data[start : start + CHUNK]) for start in range(0, len(data), CHUNK)]


@dataclass
class _Session:
    stored: bytearray = field(default_factory=bytearray)
    durable: list[dict] = field(default_factory=list)
    captioned: int = 0
    finished: bool = False
    connection: ServerConnection | None = None


@dataclass
class ScriptedLane:
    """Handles connections; ``breaks``: after how many bytes of a connection it ends, and how, one connection each.

    ``how``: "abort", or the code of a close, before which an error is told. ``answers``: how attempts to resume are
    met, one each: None takes the session up, a code refuses it. Both count from the first on; then all is well.
    """

    breaks: Iterable[tuple[int, str | int]] = ()
    answers: Iterable[int | None] = ()
    window_s: float = 30
    full: int = 0
    error: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._breaks, self._answers = iter(self.breaks), iter(self.answers)
        self.sessions: dict[str, _Session] = {}
        self.started = self.resumed = 0
        self.pings = asyncio.Semaphore(0)
        self.over = asyncio.Event()
        self.flushes: list[str] = []

    @asynccontextmanager
    async def serving(self):
        """Serve on a free loopback port; yields the URL."""
        async with serve(self, "127.0.0.1", 0, max_queue=None) as server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def __call__(self, socket: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            first = json.loads(await socket.recv())
            session = await (self._start(socket) if first["type"] == "session.start" else self._resume(socket, first))
            if session is not None:
                await self._serve(socket, session)

    async def _start(self, socket: ServerConnection) -> _Session | None:
        self.started += 1
        if self.full:
            self.full -= 1
            await self._close(socket, 4429, retry_after_ms=20)
            return None
        name = f"s{self.started}"
        session = self.sessions[name] = _Session(connection=socket)
        await self._say(
            session, "session.started", session=name, resume_token=f"t{name}", resume_window_s=self.window_s
        )
        return session

    async def _resume(self, socket: ServerConnection, first: dict) -> _Session | None:
        self.resumed += 1
        code = next(self._answers, None)
        if code is not None:
            await self._close(socket, code)
            return None
        session = self.sessions[first["session"]]
        assert first["resume_token"] == f"t{first['session']}"
        session.connection = socket
        last = len(session.durable)
        stored = len(session.stored)
        await self._send(
            socket, type="session.resumed", replay_from_bytes=stored, replay_from_ms=stored * 10, last_seq=last
        )
        for message in session.durable[first["after_seq"] :]:
            await self._send(socket, **message)
        if session.finished:
            await socket.close(1000)
        return session

    async def _serve(self, socket: ServerConnection, session: _Session) -> None:
        limit, how = next(self._breaks, (None, ""))
        received, rest = 0, b""
        while not session.finished:
            frame = await socket.recv()
            if isinstance(frame, bytes):
                received += len(frame)
                rest += frame
                whole = len(rest) - len(rest) % BLOCK
                session.stored += rest[:whole]
                rest = rest[whole:]
                await self._caption(session)
                stored = len(session.stored)
                await self._send(
                    socket, type="audio.ack", received_bytes=stored + len(rest), replay_from_bytes=stored,
                    replay_from_ms=stored * 10,
                )  # fmt: skip
            else:
                session.stored += rest
                rest = b""
                await self._control(socket, session, json.loads(frame))
            if limit is not None and received >= limit:
                await self._end(socket, how)
                return
        await socket.close(1000)

    async def _control(self, socket: ServerConnection, session: _Session, control: dict) -> None:
        match control["type"]:
            case "ping":
                self.pings.release()
                await self._send(socket, type="pong", id=None)
            case "audio.flush":
                self.flushes.append(control["id"])
                await self._say(session, "audio.flushed", id=control["id"])
            case "session.finish":
                await self._caption(session, whole=False)
                session.finished = True
                self.over.set()
                await self._say(session, "session.finished", segments=session.captioned)

    async def _caption(self, session: _Session, *, whole: bool = True) -> None:
        while (have := len(session.stored) - session.captioned * CHUNK) >= (CHUNK if whole else 1):
            start = session.captioned * CHUNK
            data = bytes(session.stored[start : start + CHUNK])
            session.captioned += 1
            await self._say(
                session, "caption.final", channel=0, segment=session.captioned, start_ms=start * 10,
                end_ms=(start + min(have, CHUNK)) * 10, text=caption_of(data),
            )  # fmt: skip

    async def _say(self, held: _Session, kind: str, /, **fields: object) -> None:
        """A durable message: kept first, then sent."""
        message = {"type": kind, "seq": len(held.durable) + 1, **fields}
        held.durable.append(message)
        with suppress(ConnectionClosed):
            await self._send(held.connection, **message)

    async def _send(self, socket: ServerConnection, **message: object) -> None:
        await socket.send(json.dumps(message))

    async def _end(self, socket: ServerConnection, how: str | int) -> None:
        if how == "abort":
            socket.transport.abort()
            await socket.wait_closed()
        else:
            await self._close(socket, int(how))

    async def _close(self, socket: ServerConnection, code: int, **fields: object) -> None:
        error = {"type": "error", "code": f"said_{code}", "message": "No. Do this.", "fault": "server"}
        await self._send(socket, **error, **fields, **self.error)
        await socket.close(code)


async def all_of(client) -> list[dict]:
    """Every message until the end."""
    async with asyncio.timeout(20):
        return [message async for message in client]
