"""One live session, taken up again by itself when a connection is lost (docs/protocol.md, section 1)."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Coroutine, Iterable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.client import process_exception
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from speechlane.client.address import Address, authorization, unreachable
from speechlane.client.captions import Caption, CaptionBoard
from speechlane.client.inbox import Inbox
from speechlane.client.session import ClientSession, Message
from speechlane.errors import SpeechlaneError

_LOGGER = logging.getLogger(__name__)

PCM16_MONO_16K: Mapping[str, object] = {"encoding": "pcm_s16le", "sample_rate": 16_000, "channels": 1}
"""The audio format that needs no conversion in the server."""

MAX_MESSAGE_BYTES = 16 << 20
"""A final of a long segment with its words and records stays far below."""

PING = '{"type":"ping"}'
LEAVE = '{"type":"session.finish"}'
LEAVE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the client waits for what, in seconds.

    ``ping_after_s``: without a message, either way, a ping is sent; so a muted microphone is not taken for a client
    that is gone. ``silent_s``: how long a ping may stay unanswered, with no other message, before the connection is
    given up. ``first_retry_s``, ``most_retry_s``: bounds of the pause before another try, which doubles and is drawn
    at random up to its bound, so that a restarted server is not met by all clients at once. ``to_start_s``: how long
    to go on with a server that has no room for a new session, or breaks off before it has opened one.
    """

    ping_after_s: float = 10
    silent_s: float = 20
    first_retry_s: float = 0.5
    most_retry_s: float = 5
    to_start_s: float = 0


class LiveClient:
    """An open session: send audio, iterate over messages, finish.

    ``audio`` names the format of the bytes given to `send`, containers included. The usual way is `captions`:

        async with LiveClient("http://127.0.0.1:8700", language="en") as client:
            async for caption in client.captions(frames):
                ...

    or, message by message, `send` and `finish` beside an iteration over the client, which yields every message from
    ``session.started`` to ``session.finished``, ``error`` included, then ends: each durable message once and in order,
    and of partials that the program had no time for only the newest.

    A connection that is lost is opened anew and the session resumed within the server's resume window: the client
    keeps the audio that the server has not acknowledged. The program sees ``session.resumed`` and may go on sending.

    Raises:
        SpeechlaneError: ``unreachable`` on entering when nobody answers; while iterating, what the server's last
            ``error`` message said, or `SessionLost` when the session cannot be taken up again.
    """

    def __init__(
        self,
        url: str,
        *,
        audio: Mapping[str, object] = PCM16_MONO_16K,
        language: str = "auto",
        key: str | None = None,
        options: Mapping[str, object] | None = None,
        max_unacknowledged_bytes: int = 4 << 20,
        patience: Patience | None = None,
    ) -> None:
        """``options`` are further fields of ``session.start``, such as ``endpointing_ms``.

        While ``max_unacknowledged_bytes`` of audio are not safe with the server yet, `send` waits.
        """
        self._address, self._key = Address(url), key
        self._patience = patience or Patience()
        start = {"type": "session.start", "audio": dict(audio), "language": language, **(options or {})}
        self._session = ClientSession(start, server=self._address.http(), max_unacknowledged=max_unacknowledged_bytes)
        self._inbox = Inbox()
        self._work, self._room = asyncio.Event(), asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._connection: ClientConnection | None = None
        self._heard = 0
        self._failures = 0
        self._deadline: float | None = None  # stands until a durable message comes, or a connection that holds
        self._code: int | None = None
        self._reason = ""

    async def __aenter__(self) -> Self:
        try:
            self._connection = await self._connect()
        except (OSError, InvalidHandshake, TimeoutError) as error:
            raise unreachable(self._address, error) from error
        self._begin(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave; a session that was not finished is told so, that the server need not wait for it."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._connection is None:
            return
        with suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                if not self._session.finish_asked:
                    await self._connection.send(LEAVE)
                await self._connection.close()
        self._connection.transport.abort()

    # --- what the program does ------------------------------------------------------------------------------------

    async def captions(self, frames: Iterable[bytes] | AsyncIterable[bytes]) -> AsyncGenerator[Caption]:
        """Send the frames as they come; yield each caption as often as it changes, until all are settled."""
        board = CaptionBoard()
        async with aclosing(self.stream(frames)) as messages:
            async for message in messages:
                caption = board.take(message)
                if caption is not None:
                    yield caption

    async def stream(self, frames: Iterable[bytes] | AsyncIterable[bytes]) -> AsyncGenerator[Message]:
        """Send the frames as they come and finish behind the last; yield every message meanwhile.

        What the frames' source raises is raised here.
        """
        sender = self._begin(self._send_all(frames))
        try:
            async for message in self:
                yield message
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    async def send(self, data: bytes) -> None:
        """Send audio, cut anywhere; wait while too much is unacknowledged.

        After the session's end sends go nowhere: iterating tells why.
        """
        while not (self._session.has_room or self._inbox.closed):
            self._room.clear()
            await self._room.wait()
        self._session.audio(bytes(data))
        self._work.set()
        await asyncio.sleep(0)  # a source that never waits leaves the connection its turns

    async def flush(self, flush_id: str) -> None:
        """Ask to settle all that was sent so far; ``audio.flushed`` with this id answers."""
        self._session.flush(flush_id)
        self._work.set()

    async def finish(self) -> None:
        """No more audio; the server settles everything and the iteration ends when it has closed."""
        self._session.finish()
        self._work.set()

    def __aiter__(self) -> AsyncIterator[Message]:
        return aiter(self._inbox)

    async def _send_all(self, frames: Iterable[bytes] | AsyncIterable[bytes]) -> None:
        try:
            async with aclosing(_each(frames)) as source:
                async for frame in source:
                    await self.send(frame)
            await self.finish()
        except Exception as error:  # noqa: BLE001 - raised where the messages are iterated
            self._inbox.close(error)

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # --- connections ------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Keep the session on a connection until it is over; the inbox is told how it ended."""
        try:
            while not await self._one_connection():
                await self._pause()
            self._inbox.close()
        except Exception as error:  # noqa: BLE001 - raised where the messages are iterated
            self._inbox.close(error)
        finally:
            self._room.set()

    async def _one_connection(self) -> bool:
        """Serve one connection until it ends; whether the session is over."""
        began = asyncio.get_running_loop().time()
        try:
            if self._connection is None:
                self._connection = await self._connect()
            await self._converse(self._connection)
        except ConnectionClosed as closed:
            self._code = closed.rcvd.code if closed.rcvd else None
            over = self._session.judge(self._code)
            self._reason = self._session.reason(self._code)
        except (OSError, InvalidHandshake, TimeoutError) as error:
            if process_exception(error) is not None:
                raise self._session.lost(str(error)) from error
            over, self._reason = False, str(error)
        if asyncio.get_running_loop().time() - began > self._patience.most_retry_s:
            self._failures, self._deadline = 0, None  # it held for a while
        self._connection = None
        return over

    async def _converse(self, connection: ClientConnection) -> None:
        """Say and hear, until the connection ends with ConnectionClosed."""
        hello = self._session.hello()  # before anything is heard: a refusal may have come with the handshake
        helpers = [self._begin(self._speak(connection, hello)), self._begin(self._watch(connection))]
        try:
            while True:
                self._hear(await connection.recv())
        finally:
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)

    def _hear(self, text: str | bytes) -> None:
        self._heard += 1
        message = _read(text)
        news = self._session.receive(message)
        if "seq" in message and news:
            self._failures, self._deadline = 0, None
        if news:
            self._inbox.put(message)
        self._work.set()
        if self._session.has_room:
            self._room.set()

    async def _speak(self, connection: ClientConnection, hello: str) -> None:
        """Send what is there to send; a ping when there is nothing for long."""
        await connection.send(hello)
        while True:
            self._work.clear()
            while frame := self._session.next():
                await connection.send(frame.data)
                if self._session.has_room:
                    self._room.set()
            try:
                async with asyncio.timeout(self._patience.ping_after_s):
                    await self._work.wait()
            except TimeoutError:
                if not self._session.finish_asked:
                    await connection.send(PING)

    async def _watch(self, connection: ClientConnection) -> None:
        """Give up a connection on which nothing comes.

        Any message is a sign of life, not the answer to a ping alone: while a server that has enough audio does not
        read, a ping waits unread behind that audio.
        """
        while True:
            heard = self._heard
            await asyncio.sleep(self._patience.ping_after_s)
            if self._heard == heard:
                try:
                    async with asyncio.timeout(self._patience.silent_s):
                        await (await connection.ping())
                except TimeoutError:
                    if self._heard == heard:
                        connection.transport.abort()

    async def _pause(self) -> None:
        """Wait before the next try.

        Raises:
            SpeechlaneError: there is no time left for one.
        """
        now, session = asyncio.get_running_loop().time(), self._session
        if self._deadline is None:
            self._deadline = now + (session.window_s if session.id else self._patience.to_start_s)
            if session.id:
                _LOGGER.warning("connection lost (%s); taking the session up again", self._reason)
        bound = min(self._patience.most_retry_s, self._patience.first_retry_s * 2**self._failures)
        self._failures += 1
        pause = max(random.uniform(0, bound), session.retry_after_s)  # noqa: S311 - spreads load, guards nothing
        if now + pause >= self._deadline:
            raise session.lost(self._reason) if session.id else session.given_up(self._code, self._reason)
        await asyncio.sleep(pause)

    async def _connect(self) -> ClientConnection:
        return await connect(
            self._address.websocket("/v1/live"),
            additional_headers=authorization(self._key),
            compression=None,  # audio does not compress; captions are small
            max_size=MAX_MESSAGE_BYTES,
            ping_interval=None,  # see _watch
            proxy=None if self._address.on_this_machine else True,
        )


def _read(text: str | bytes) -> Message:
    try:
        message = json.loads(text)
        if isinstance(message, dict) and isinstance(message.get("type"), str):
            return message
    except ValueError:
        pass
    raise SpeechlaneError(
        "unreadable_message",
        f"What answers is no Speechlane server: it sent {text[:40]!r}, which is no JSON object with a type. "
        "Check the address.",
        field="url",
    )


async def _each(frames: Iterable[bytes] | AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
    if not isinstance(frames, AsyncIterable):
        for frame in frames:
            yield frame
    elif isinstance(frames, AsyncGenerator):
        async with aclosing(frames):
            async for frame in frames:
                yield frame
    else:
        async for frame in frames:
            yield frame
