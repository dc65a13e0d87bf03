"""The streams of one live session: carries out the core's wishes on engines that listen to a stream.

Each stream has a task that opens it, sends what was queued and reads its results; what comes back goes to the session
as events. A stream that cannot keep up has failed: the next route is told, not the client's patience.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

from speechlane.audio import SAMPLE_RATE, Samples
from speechlane.audio.buffer import SampleBuffer
from speechlane.audio.samples import samples_sha256
from speechlane.engine import Engine, EngineStream, StreamingEngine, StreamOptions, StreamResult
from speechlane.errors import EngineFailed, SpeechlaneError
from speechlane.live import events
from speechlane.live.actions import CloseStream, FlushStream, OpenStream, SendAudio, StreamAction

_LOGGER = logging.getLogger(__name__)

MAX_UNSENT = 20 * SAMPLE_RATE
"""Samples waiting to be sent over which a stream counts as broken."""

RETRY_PAUSE_S = 0.25
"""Pause before the core learns of a failure that may pass: it opens another stream at once."""

CLOSE_TIMEOUT_S = 2
"""How long an engine may take over closing a stream."""


@dataclass(slots=True)
class _Stream:
    opened: OpenStream
    queue: asyncio.Queue[Samples | None] = field(default_factory=asyncio.Queue)  # None: flush
    unsent: int = 0
    task: asyncio.Task[None] | None = None


class LiveStreams:
    """``engines`` by route; ``buffers`` hold each channel's samples; ``answer`` takes the events, to be stamped."""

    def __init__(
        self,
        engines: Sequence[Engine | StreamingEngine],
        buffers: Sequence[SampleBuffer],
        answer: Callable[[events.Event], None],
    ) -> None:
        self._engines, self._buffers, self._answer = engines, buffers, answer
        self._streams: dict[int, _Stream] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def do(self, action: StreamAction) -> None:
        """Carry out one wish; returns at once."""
        match action:
            case OpenStream():
                stream = _Stream(action)
                self._streams[action.stream] = stream
                stream.task = asyncio.create_task(self._run(stream))
            case SendAudio():
                stream = self._streams[action.stream]
                # The buffer may let go of them before they are sent.
                stream.queue.put_nowait(self._buffers[stream.opened.channel].slice(action.start, action.end))
                stream.unsent += action.end - action.start
            case FlushStream():
                self._streams[action.stream].queue.put_nowait(None)
            case CloseStream():
                # After a restart the core closes a stream that died with the process before.
                if (lost := self._streams.pop(action.stream, None)) is not None:
                    self._close(lost)

    def close_all(self) -> None:
        """The session has ended."""
        for stream in self._streams.values():
            self._close(stream)
        self._streams.clear()

    def _close(self, stream: _Stream) -> None:
        if stream.task is not None:
            stream.task.cancel()
            self._closing.add(stream.task)
            stream.task.add_done_callback(self._closing.discard)

    async def _run(self, stream: _Stream) -> None:
        opened = stream.opened
        try:
            await self._converse(stream)
            problem: SpeechlaneError = EngineFailed(
                "stream_ended", "The engine ended the stream. Open another.", retryable=True
            )
        except SpeechlaneError as error:
            problem = error
        except Exception as error:
            _LOGGER.exception("stream %d failed", opened.stream)
            problem = EngineFailed("engine_failed", f"The engine raised {type(error).__name__}.", retryable=True)
        if problem.retryable:
            await asyncio.sleep(RETRY_PAUSE_S)
        self._answer(events.StreamFailed(0, opened.stream, problem.code, problem.message, problem.retryable))

    async def _converse(self, stream: _Stream) -> None:
        """Open the stream, then send and read until either ends; the first failure ends both."""
        opened = stream.opened
        engine = cast("StreamingEngine", self._engines[opened.route])
        connection = await engine.open(StreamOptions(opened.language, opened.keyterms))
        try:
            async with asyncio.TaskGroup() as group:
                sender = group.create_task(self._send(stream, connection))
                async for result in connection.results():
                    self._hear(stream, result)
                sender.cancel()
        except* SpeechlaneError as failed:
            raise failed.exceptions[0] from None
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await connection.aclose()

    async def _send(self, stream: _Stream, connection: EngineStream) -> None:
        while True:
            samples = await stream.queue.get()
            if stream.unsent > MAX_UNSENT:
                raise EngineFailed(
                    "stream_behind",
                    f"The engine takes audio too slowly: {stream.unsent // SAMPLE_RATE} s wait. Use another route.",
                    limit=MAX_UNSENT // SAMPLE_RATE,
                )
            if samples is None:
                await connection.flush()
            else:
                stream.unsent -= len(samples)
                await connection.send(samples)

    def _hear(self, stream: _Stream, result: StreamResult) -> None:
        digest = None
        if result.final:
            buffer = self._buffers[stream.opened.channel]
            # What lies before the buffer's start is settled silence, let go of since it was sent.
            start, end = (
                min(max(stream.opened.start + at, buffer.start), buffer.end) for at in (result.start, result.end)
            )
            digest = samples_sha256(buffer.slice(start, end))
        self._answer(events.StreamHeard(0, stream.opened.stream, result, digest))
