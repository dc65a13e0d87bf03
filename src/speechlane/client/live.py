"""One live session over a WebSocket (docs/protocol.md, section 1)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from speechlane.client.address import Address, authorization, refusal, unreachable
from speechlane.errors import SpeechlaneError

Message = dict[str, Any]
"""A message of the server, as section 1 of the protocol names its fields."""

PCM16_MONO_16K: Mapping[str, object] = {"encoding": "pcm_s16le", "sample_rate": 16_000, "channels": 1}
"""The audio format that needs no conversion in the server."""

NORMAL_CLOSURE = 1000  # RFC 6455, section 7.4.1
MAX_MESSAGE_BYTES = 16 << 20
"""A final of a long segment with its words and records stays far below."""


class LiveClient:
    """An open session: send audio, iterate over messages, finish.

    ``audio`` names the format of the bytes given to `send`. Iterating yields every message from ``session.started``
    to ``session.finished``, ``error`` included, then ends. For long audio, send and iterate in two tasks: a server
    that has enough stops reading, and `send` then waits.

        async with LiveClient("http://127.0.0.1:8700", audio=PCM16_MONO_16K) as client:
            await client.send(pcm)
            await client.finish()
            async for message in client:
                ...

    Raises:
        SpeechlaneError: ``unreachable`` on entering when nobody answers; while iterating, once the server has closed,
            what its ``error`` message said, or ``connection_lost`` when it closed without one.
    """

    def __init__(
        self,
        url: str,
        *,
        audio: Mapping[str, object] = PCM16_MONO_16K,
        language: str = "auto",
        key: str | None = None,
        options: Mapping[str, object] | None = None,
    ) -> None:
        """``options`` are further fields of ``session.start``, such as ``endpointing_ms``."""
        self._address = Address(url)
        self._start = {"type": "session.start", "audio": dict(audio), "language": language, **(options or {})}
        self._key = key

    async def __aenter__(self) -> Self:
        self._connection = await self._connect()
        await self._send(json.dumps(self._start))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.close()

    async def send(self, data: bytes) -> None:
        """Send audio, cut anywhere. After the server closed, sends go nowhere: iterating tells why."""
        await self._send(data)

    async def flush(self, flush_id: str) -> None:
        """Ask to settle all that was sent so far; ``audio.flushed`` with this id answers."""
        await self._send(json.dumps({"type": "audio.flush", "id": flush_id}))

    async def finish(self) -> None:
        """No more audio; the server settles everything and the iteration ends when it has closed."""
        await self._send(json.dumps({"type": "session.finish"}))

    async def __aiter__(self) -> AsyncIterator[Message]:
        last_error: Message = {}
        try:
            while True:
                message: Message = json.loads(await self._connection.recv())
                if message["type"] == "error":
                    last_error = message
                yield message
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else None
            if code == NORMAL_CLOSURE:
                return
            if last_error:
                raise refusal(last_error, status=code) from None
            raise SpeechlaneError(
                "connection_lost",
                f"The server at {self._address.http()} ended the connection (close code {code}) before the session "
                "was finished. Try again; the server's log tells why.",
                retryable=True,
            ) from None

    async def _connect(self) -> ClientConnection:
        try:
            return await connect(
                self._address.websocket("/v1/live"),
                additional_headers=authorization(self._key),
                compression=None,  # audio does not compress; captions are small
                max_size=MAX_MESSAGE_BYTES,
                proxy=None if self._address.on_this_machine else True,
            )
        except (OSError, InvalidHandshake, TimeoutError) as error:
            raise unreachable(self._address, error) from error

    async def _send(self, data: bytes | str) -> None:
        try:
            await self._connection.send(data)
        except ConnectionClosed:
            return
