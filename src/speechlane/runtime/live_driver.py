"""Drives one live session: gives the core its events, carries out its actions, owns the clock and the tasks.

Everything that happens to a session passes through one loop: client input in order of arrival, engine answers, the
deadline. Audio reaches the core in blocks of fixed length, so that how a client cuts its frames changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from speechlane.audio import SAMPLE_RATE, Samples
from speechlane.audio.buffer import SampleBuffer
from speechlane.audio.decoder import StreamDecoder
from speechlane.audio.format import AudioFormat
from speechlane.audio.samples import samples_sha256
from speechlane.engine import DecodeRequest, Engine, SpeechGateModel
from speechlane.errors import SpeechlaneError, StorageFailed
from speechlane.live import Session, events, messages
from speechlane.live.actions import Action, Close, Decode, RecordChunk, Release, Send, Withdraw
from speechlane.live.config import SessionHead
from speechlane.live.session import restarting
from speechlane.provenance import Registry
from speechlane.runtime.live_outgoing import Outgoing
from speechlane.runtime.session_log import SessionLog

_LOGGER = logging.getLogger(__name__)

BLOCK_FRAMES = 2
"""Score frames in one `AudioReceived`: 64 ms with Silero's 512 samples."""

MAX_BACKLOG = 20 * SAMPLE_RATE
"""Undecoded speech over which no more audio is taken in: the sender feels back-pressure."""

MAX_WAITING_BYTES = 4 << 20
"""Client bytes that may wait unread by the loop."""

ITEM_BYTES = 256
"""What a queued message costs besides its audio."""

RETRY_PAUSE_S = 0.25
"""Pause before the core learns of a failure that may pass."""


@dataclass(slots=True)
class _Block:
    """Audio that is decoded and scored, on its way to the core."""

    position: int
    received_bytes: int
    scores: tuple[tuple[float, ...], ...]


class LiveDriver:
    """One session from start to close. `run` is its loop; the other methods may be called while it runs."""

    def __init__(
        self,
        head: SessionHead,
        audio_format: AudioFormat,
        *,
        engine: Engine,
        gate: SpeechGateModel,
        registry: Registry,
        log: SessionLog | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.session = Session(head)
        self.outgoing = Outgoing()
        self._head, self._engine, self._registry, self._log, self._clock = head, engine, registry, log, clock
        self._began = clock()
        self._decoder = StreamDecoder(audio_format, mix=head.config.timelines == 1)
        self._buffers = [SampleBuffer() for _ in range(head.config.timelines)]
        self._scorers = [gate.scorer() for _ in range(head.config.timelines)]
        self._unsent: list[list[float]] = [[] for _ in range(head.config.timelines)]
        self._frames_sent = 0
        self._tail_sent = 0
        self._received_bytes = 0
        self._input: deque[bytes | events.Event] = deque()
        self._waiting_bytes = 0
        self._answers: deque[events.Event] = deque()
        self._blocks: deque[_Block] = deque()
        self._decodes: dict[int, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._closed = False
        self._last_at = 0

    # --- the client's side -------------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """Whole milliseconds since the session began."""
        return round((self._clock() - self._began) * 1000)

    async def audio(self, data: bytes) -> None:
        """Take the client's next bytes; returns when there is room for more."""
        if data:
            await self._admit(data, len(data))

    async def flush(self, flush_id: str | None) -> None:
        await self._admit(events.FlushRequested(self.now, flush_id))

    def finish(self) -> None:
        """No more audio: settle and close."""
        self._put(events.FinishRequested(self.now))

    async def ping(self, ping_id: str | None) -> None:
        await self._admit(events.PingReceived(self.now, ping_id))

    def break_protocol(self, problem: SpeechlaneError) -> None:
        """The client sent something unknown: settle what was heard, tell it, close 1008."""
        self._put(events.ProtocolBroken(self.now, problem.code, problem.message, problem.field))

    def shut_down(self) -> None:
        """The server stops: settle what was heard and close 1012."""
        self._answers.append(events.ShutdownRequested(self.now))
        self._wake.set()

    async def _admit(self, item: bytes | events.Event, size: int = 0) -> None:
        """Queue client input once there is room for it, and for the answers that the client has not read yet."""
        await self._room.wait()
        await self.outgoing.room()
        self._waiting_bytes += size + ITEM_BYTES
        if self._waiting_bytes > MAX_WAITING_BYTES:
            self._room.clear()
        self._input.append(item)
        self._wake.set()

    def _put(self, event: events.Event) -> None:
        self._waiting_bytes += ITEM_BYTES
        self._input.append(event)
        self._wake.set()

    # --- the loop ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Drive the session until it has closed; never raises but for cancellation."""
        try:
            await self._receive(events.SessionStarted(self.now))
            while not self._closed:
                await self._next()
        except asyncio.CancelledError:
            self._abort(restarting(), 1012)
            raise
        except SpeechlaneError as problem:
            self._abort(problem)
        except Exception:
            _LOGGER.exception("session %s failed", self._head.session)
            self._abort(StorageFailed("internal_error", "The server failed. Open a new session and report the time."))
        finally:
            self._closed = True
            self._room.set()
            for task in self._decodes.values():
                task.cancel()
            self.outgoing.close()
            if self._log is not None:
                self._log.close()

    async def _next(self) -> None:
        self._wake.clear()
        if self._answers:
            await self._receive(self._answers.popleft())
        elif self._blocks and self.session.backlog < MAX_BACKLOG:
            block = self._blocks.popleft()
            await self._receive(events.AudioReceived(self.now, block.position, block.received_bytes, block.scores))
        elif self._input and not self._blocks:
            await self._take(self._input.popleft())
        else:
            await self._sleep()

    async def _sleep(self) -> None:
        deadline = self.session.next_deadline()
        timeout = None if deadline is None else max(0, deadline - self.now) / 1000
        try:
            async with asyncio.timeout(timeout):
                await self._wake.wait()
        except TimeoutError:
            await self._receive(events.DeadlinePassed(max(self.now, deadline or 0)))

    async def _take(self, item: bytes | events.Event) -> None:
        self._waiting_bytes -= ITEM_BYTES + (len(item) if isinstance(item, bytes) else 0)
        if self._waiting_bytes <= MAX_WAITING_BYTES:
            self._room.set()
        if isinstance(item, bytes):
            self._received_bytes += len(item)
            await self._hear(self._decoder.feed(item))
            return
        if isinstance(item, events.FlushRequested):
            await self._hear(self._decoder.flush(), all_of_it=True)
        elif isinstance(item, events.FinishRequested):
            tail = self._decoder.finish()
            await self._hear(tail.samples, all_of_it=True)
            item = events.FinishRequested(item.at, tail.dropped_bytes)
        if self._blocks:
            self._waiting_bytes += ITEM_BYTES
            self._input.appendleft(item)  # its audio first; the decoder has nothing left, so this comes here once more
        else:
            await self._receive(item)

    async def _hear(self, channels: Sequence[Samples], *, all_of_it: bool = False) -> None:
        """Score new samples and cut them into blocks; ``all_of_it`` also lets the last, shorter block go."""
        for start in range(0, len(channels[0]), SAMPLE_RATE):
            pieces = [channel[start : start + SAMPLE_RATE] for channel in channels]
            scores = await asyncio.to_thread(self._score, pieces)
            for channel, buffer in enumerate(self._buffers):
                buffer.append(pieces[channel])
                self._unsent[channel].extend(scores[channel])
            while len(self._unsent[0]) >= BLOCK_FRAMES:
                self._cut_block(BLOCK_FRAMES, None)
        if all_of_it and self._position_sent() < self._buffers[0].end:
            self._cut_block(len(self._unsent[0]), self._buffers[0].end)

    def _score(self, pieces: Sequence[Samples]) -> list[tuple[float, ...]]:
        return [scorer.score(piece) for scorer, piece in zip(self._scorers, pieces, strict=True)]

    def _position_sent(self) -> int:
        return max(self._frames_sent * self._head.frame_samples, self._tail_sent)

    def _cut_block(self, frames: int, position: int | None) -> None:
        self._frames_sent += frames
        if position is None:
            position = self._frames_sent * self._head.frame_samples
        else:
            self._tail_sent = position
        scores = tuple(tuple(unsent[:frames]) for unsent in self._unsent)
        for unsent in self._unsent:
            del unsent[:frames]
        self._blocks.append(_Block(max(position, self._tail_sent), self._received_bytes, scores))

    # --- events in, actions out --------------------------------------------------------------------------------

    async def _receive(self, event: events.Event) -> None:
        """Give the core an event, stamped with the moment at which it takes it: its time never runs back."""
        self._last_at = max(self._last_at, self.now, event.at if isinstance(event, events.DeadlinePassed) else 0)
        event = replace(event, at=self._last_at)
        actions = self.session.receive(event)
        if self._log is not None:
            self._log.write(event, [action.message for action in actions if isinstance(action, Send)])
        for action in actions:
            await self._do(action)

    async def _do(self, action: Action) -> None:
        match action:
            case Decode():
                self._decodes[action.request] = asyncio.create_task(self._decode(action))
            case Withdraw():
                task = self._decodes.pop(action.request, None)
                if task is not None:
                    task.cancel()
            case RecordChunk():
                await self._registry.append(self._head.tenant, action.record)
            case Send():
                self.outgoing.put(action.message, durable=action.durable)
            case Release():
                self._buffers[action.channel].release(action.before)
            case Close():
                self._closed = True
                self.outgoing.close(action.code, action.reason)

    async def _decode(self, ask: Decode) -> None:
        answer: events.Event
        try:
            samples = self._buffers[ask.channel].slice(ask.start, ask.end)
            request = DecodeRequest(
                samples=samples,
                padded_samples=ask.padded,
                language=ask.language,
                prefix=ask.prefix,
                options=ask.options,
                priority=ask.priority,
            )
            hypothesis = await self._engine.decode(request)
            answer = events.HypothesisReceived(self.now, ask.request, hypothesis, samples_sha256(samples))
        except SpeechlaneError as problem:
            if problem.retryable:
                await asyncio.sleep(RETRY_PAUSE_S)  # the core asks again at once; a full queue needs a moment
            answer = events.DecodeFailed(self.now, ask.request, problem.code, problem.message, problem.retryable)
        except Exception as error:
            _LOGGER.exception("session %s: the engine raised", self._head.session)
            message = f"The engine raised {type(error).__name__}."
            answer = events.DecodeFailed(self.now, ask.request, "engine_failed", message, retryable=True)
        self._decodes.pop(ask.request, None)
        self._answers.append(answer)
        self._wake.set()

    def _abort(self, problem: SpeechlaneError, code: int = 1011) -> None:
        """What the core cannot know of, a full disk say, ends the session: told, never silent."""
        self.outgoing.put(messages.error(problem), durable=False)
        self.outgoing.close(code, problem.code)
