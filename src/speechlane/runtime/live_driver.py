"""Drives one live session: gives the core its events, carries out its actions, owns the clock and the tasks.

Everything that happens to a session passes through one loop: client input in order of arrival, engine answers,
connections, the deadline. The client's bytes are stored before they are queued, so what was acknowledged is never lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from speechlane.audio import SAMPLE_RATE
from speechlane.engine import Engine, StreamingEngine
from speechlane.errors import Conflict, InvalidAudio, SpeechlaneError, StorageFailed
from speechlane.live import Session, events, messages
from speechlane.live.actions import Action, Close, Decode, RecordChunk, Release, Resend, Send, StreamAction, Withdraw
from speechlane.live.endings import restarting
from speechlane.live.states import State
from speechlane.provenance import Registry
from speechlane.runtime.alarm import Alarm
from speechlane.runtime.intake import Intake
from speechlane.runtime.live_decodes import Decodes
from speechlane.runtime.live_inbox import Inbox
from speechlane.runtime.live_outgoing import Outgoing, Resumption
from speechlane.runtime.live_streams import LiveStreams
from speechlane.runtime.recovery import Restored
from speechlane.runtime.session_files import SessionFiles
from speechlane.runtime.session_meter import UNOBSERVED, SessionObserver

_LOGGER = logging.getLogger(__name__)

MAX_BACKLOG = 20 * SAMPLE_RATE
"""Undecoded speech over which no more audio is taken in: the sender feels back-pressure."""


class LiveDriver:
    """One session from start to close. `run` is its loop; the other methods may be called while it runs.

    ``outgoing`` is the newest connection's; what an older one still brings is dropped. ``restored`` is given for a
    session that another process began.
    """

    def __init__(
        self,
        session: Session,
        intake: Intake,
        *,
        engines: Sequence[Engine | StreamingEngine],
        registry: Registry,
        files: SessionFiles | None,
        restored: Restored | None = None,
        observer: SessionObserver = UNOBSERVED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.session, self._observer = session, observer
        self.outgoing = Outgoing(coalesced=observer.coalesced)
        self._head = session.head
        self._intake, self._registry, self._files = intake, registry, files
        self._clock, self._restored = clock, restored
        self._began = clock() - (restored.age_s if restored else 0)
        self._input = Inbox()
        self._answers: deque[events.Event | Resumption] = deque()
        self._decodes = Decodes(session.head.session, engines, intake.buffers, self._answer)
        self._streams = LiveStreams(engines, intake.buffers, self._answer)
        self._released = [0] * len(intake.buffers)
        self._wake = asyncio.Event()
        self._alarm = Alarm(self._wake.set)
        self._closed = session.state is State.CLOSED
        self.ended = asyncio.Event()
        """Set when the session is over, or was cut short, which ``broken`` tells."""
        self.broken = False
        self.reachable = True
        """Whether it still takes connections; False once `run` has returned."""
        self._last_at = 0
        if restored is not None:
            self._last_at = restored.last_at
            self.outgoing.close()  # nobody listens until the session is resumed
            if restored.unreadable is not None:
                self.break_protocol(restored.unreadable)

    # --- the client's side -------------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """Whole milliseconds since the session began."""
        return round((self._clock() - self._began) * 1000)

    @property
    def over(self) -> bool:
        """Whether the session has ended, though its end may still be told again."""
        return self._closed

    @property
    def resumable(self) -> bool:
        """Whether a client that loses its connection may come back."""
        return self._head.resume_token is not None

    async def audio(self, data: bytes, connection: Outgoing | None = None) -> None:
        """Store and take the client's next bytes; returns when there is room for more."""
        if data and self.session.state is not State.FINISHING and await self._admitted(connection, len(data)):
            if self._files is not None:
                try:
                    self._files.store(data)
                except StorageFailed as problem:
                    self._abort(problem)
                    return
            self._observer.received(len(data), self.now)
            self._queue(data)

    async def flush(self, flush_id: str | None, connection: Outgoing | None = None) -> None:
        if await self._admitted(connection):
            self._queue(events.FlushRequested(self.now, flush_id))

    async def ping(self, ping_id: str | None, connection: Outgoing | None = None) -> None:
        if await self._admitted(connection):
            self._queue(events.PingReceived(self.now, ping_id))

    def finish(self, connection: Outgoing | None = None) -> None:
        """No more audio: settle and close."""
        if connection is None or connection is self.outgoing:
            self._queue(events.FinishRequested(self.now))

    def break_protocol(self, problem: SpeechlaneError, connection: Outgoing | None = None) -> None:
        """The client sent something unknown: settle what was heard, tell it, close 1008."""
        if connection is None or connection is self.outgoing:
            self._queue(events.ProtocolBroken(self.now, problem.code, problem.message, problem.field))

    def lose(self, connection: Outgoing) -> None:
        """The connection is gone: wait for another one for the resume window, or finish where none is offered."""
        if connection is not self.outgoing or connection.closed:
            return
        connection.close()
        if self.resumable:
            self._answer(events.ConnectionLost(self.now))
        else:
            self.finish()

    def resume(self, after_seq: int) -> Outgoing:
        """Give the session to a new connection, whose messages come from what is returned."""
        assert self._files is not None, "a session that stores nothing is never offered to be resumed"
        newer = Conflict("taken_elsewhere", "Another connection has taken up the session. Go on there.")
        self.outgoing.take_over(newer, 4409)
        self.outgoing = Outgoing(opened=False, coalesced=self._observer.coalesced)
        self._answer(Resumption(self.outgoing, after_seq, self._files.stored_bytes or 0))
        return self.outgoing

    def load_changed(self, step: events.Step | None, lag_ms: int) -> None:
        """The engine of the first route stands on another step of overload."""
        self._answer(events.LoadChanged(self.now, step, lag_ms))

    def shut_down(self) -> None:
        """The server stops: settle what was heard and close 1012."""
        self._answer(events.ShutdownRequested(self.now))

    async def _admitted(self, connection: Outgoing | None, size: int = 0) -> bool:
        """Wait for room for client input, and for the answers that the client has not read yet.

        False: it is late, or its ``size`` bytes and what is stored are more than a session may store.
        """
        await self._input.room()
        await self.outgoing.room()
        if self._closed or (connection is not None and connection is not self.outgoing):
            return False
        if self._files is None or self._files.size + size <= self._head.limits.max_session_bytes:
            return True
        self._queue(events.StorageFilled(self.now))
        return False

    def _queue(self, item: bytes | events.Event) -> None:
        self._input.put(item)
        self._wake.set()

    def _answer(self, event: events.Event | Resumption) -> None:
        self._answers.append(event)
        self._wake.set()

    # --- the loop ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Drive the session until it is over and nobody may ask for its end any more; only cancellation raises."""
        try:
            if not self._closed:
                await self._receive(self._restored.event if self._restored else events.SessionStarted(self.now))
            while not self._closed:
                await self._next()
            if self.session.state is State.CLOSED:
                await self._linger()
        except asyncio.CancelledError:
            self._abort(restarting(resumable=self.resumable), 1012)
            raise
        except SpeechlaneError as problem:
            self._abort(problem)
        except Exception:
            _LOGGER.exception("session %s failed", self._head.session)
            self._abort(SpeechlaneError("internal_error", "The server failed. Open a new session and report the time."))
        finally:
            self.reachable = False
            self._let_go()

    async def _linger(self) -> None:
        """Tell the end again, for the resume window, to a client that did not get it; then delete what was stored."""
        self._let_go()
        if self._files is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._head.limits.resume_window_ms / 1_000):
                while self.resumable:
                    while self._answers:
                        answer = self._answers.popleft()
                        if isinstance(answer, Resumption):
                            await self._resume(answer)
                    self._wake.clear()
                    await self._wake.wait()
        self._files.end()

    def _let_go(self) -> None:
        self._closed = True
        if not self.ended.is_set():
            self._observer.ended(self.outgoing.close_code)
        self.ended.set()
        self._alarm.cancel()
        self._decodes.withdraw_all()
        self._streams.close_all()
        self.outgoing.close()
        self._intake.forget()
        self._input.close()
        if self._files is not None:
            self._files.close()

    async def _next(self) -> None:
        self._wake.clear()
        blocks = self._intake.blocks
        if self._answers:
            answer = self._answers.popleft()
            await (self._resume(answer) if isinstance(answer, Resumption) else self._receive(answer))
        elif blocks and self.session.backlog < MAX_BACKLOG and self.session.listening:
            block = blocks.popleft()
            stored = self._files.stored_bytes if self._files is not None else None
            at = self._stamp()
            event = events.AudioReceived(at, block.position, block.received_bytes, block.scores, stored)
            await self._receive(event, at)
        elif not blocks and (self._intake.pending or self._input):
            await self._listen()
        else:
            await self._sleep()

    async def _resume(self, taken: Resumption) -> None:
        if taken.outgoing is self.outgoing:  # else a newer one follows
            taken.outgoing.open()
            await self._receive(events.ConnectionResumed(self.now, taken.after_seq, taken.stored_bytes))

    async def _sleep(self) -> None:
        deadline = self.session.next_deadline()
        if deadline is not None and deadline <= self.now:
            await self._receive(events.DeadlinePassed(deadline))
            return
        if deadline is not None:
            self._alarm.set(deadline, self.now)
        await self._wake.wait()

    async def _listen(self) -> None:
        """Hear more of the client's bytes, or take its next input; sound that cannot be decoded ends the session."""
        if len(self._input) > 1:
            await asyncio.sleep(0)  # a sender ahead of the clock: the engine and other sessions have their turn
        try:
            if not self._intake.pending:
                await self._take(self._input.take())
            while self._intake.pending and not self._intake.blocks:
                await self._intake.hear_more()
        except InvalidAudio as problem:
            self._input.put_first(events.ProtocolBroken(self.now, problem.code, problem.message, problem.field))

    async def _take(self, item: bytes | events.Event) -> None:
        if isinstance(item, bytes):
            self._intake.take(item)
            return
        if isinstance(item, events.FlushRequested | events.ProtocolBroken | events.StorageFilled):
            await self._intake.flush()
        elif isinstance(item, events.FinishRequested):
            item = events.FinishRequested(item.at, await self._intake.finish())
        if self._intake.blocks:
            self._input.put_first(item)  # its audio first; the decoder has nothing left, so this comes here once more
        else:
            await self._receive(item)

    # --- events in, actions out --------------------------------------------------------------------------------

    def _stamp(self) -> int:
        """The moment at which the core takes an event: its time never runs back."""
        self._last_at = max(self._last_at, self.now)
        return self._last_at

    async def _receive(self, event: events.Event, at: int | None = None) -> None:
        """Give the core an event, stamped with the moment at which it takes it, unless it is that ``at`` already."""
        if at is None:
            event = replace(event, at=self._stamp())
        actions = self.session.receive(event)
        texts = [messages.encode(action.message) for action in actions if isinstance(action, Send)]
        if self._files is not None:
            self._files.write(event, texts)
            if actions or not isinstance(event, events.AudioReceived):
                # Audio that caused nothing waits for the next ack, a second at most: it is stored, and heard again.
                self._files.flush()
        sending = iter(texts)
        for action in actions:
            if isinstance(action, Send):
                self.outgoing.put(action.message, next(sending))
            else:
                await self._do(action)
        self._observer.happened(event, actions, self.now)

    async def _do(self, action: Action) -> None:
        match action:
            case Decode():
                self._decodes.start(action)
            case Withdraw():
                self._decodes.withdraw(action.request)
            case RecordChunk():
                await self._registry.append(self._head.tenant, action.record)
            case Resend() if self._files is not None:
                self.outgoing.put_lines(self._files.durable(action.after_seq, action.last_seq))
            case Release():
                self._release(action)
            case Close():
                self._closed |= not action.waits
                self.outgoing.close(action.code, action.reason)
            case _ if isinstance(action, StreamAction):
                self._streams.do(action)
            case _:
                raise AssertionError(f"{type(action).__name__} cannot be carried out here")

    def _release(self, action: Release) -> None:
        self._intake.buffers[action.channel].release(action.before)
        self._released[action.channel] = action.before
        if self._files is not None:
            self._files.release(min(self._released))

    def _abort(self, problem: SpeechlaneError, code: int = 1011) -> None:
        """What the core cannot know of, a full disk say, ends the session: told, never silent."""
        self._closed = self.broken = True
        if self.resumable and isinstance(problem, StorageFailed):
            problem.retryable = True  # what is stored is there; it can be taken up as soon as there is room
        self.outgoing.put(message := messages.error(problem), messages.encode(message))
        self.outgoing.close(code, problem.code)
        self._wake.set()
