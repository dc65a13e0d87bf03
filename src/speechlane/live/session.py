"""The sans-I/O session: one way in (`receive`), actions out by return, deadlines told (`next_deadline`).

In the manner of h11 and of websockets' ``protocol.py``: a driver owns the socket, the clock and the engine; the
session owns every decision.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from speechlane.audio import SAMPLE_RATE, position_to_ms
from speechlane.errors import EngineFailed, InvalidInput, OverCapacity, SpeechlaneError, TooLarge
from speechlane.live import events, messages
from speechlane.live.actions import Action, Close
from speechlane.live.config import SessionHead
from speechlane.live.outbox import Outbox
from speechlane.live.routed import RoutedTimeline
from speechlane.live.routes import Routes
from speechlane.live.states import TRANSITIONS, State, Turn


@dataclass(frozen=True, slots=True)
class _Ending:
    """How a session closes once all is settled."""

    code: int
    reason: str
    problem: SpeechlaneError | None = None


def restarting() -> OverCapacity:
    """What a client is told whose session the server's stop ends."""
    return OverCapacity(
        "server_restart",
        "The server is restarting; what was settled stands. Open a new session for what comes.",
        retry_after_ms=1_000,
    )


class Session:
    """One live session. Not safe for concurrent use: the driver feeds it one event after another."""

    def __init__(self, head: SessionHead) -> None:
        self.head = head
        self.state = State.OPEN
        self._out = Outbox(head)
        self._routes = Routes(head.routes)
        self._timelines = [
            RoutedTimeline(head, channel, self._routes, self._out) for channel in range(head.config.timelines)
        ]
        self._received_bytes = 0
        self._position = 0
        self._acked_position = 0
        self._acked = (0, 0)
        self._last_activity = 0
        self._last_audio = 0
        self._flushes: list[tuple[str | None, int]] = []
        self._ending: _Ending | None = None

    # --- what a driver may ask ---------------------------------------------------------------------------------

    @property
    def backlog(self) -> int:
        """Samples of speech, on the channel furthest behind, that no decode has seen yet.

        A driver stops reading while this is large: the sender feels it as back-pressure, and nothing is dropped.
        """
        return max(timeline.backlog for timeline in self._timelines)

    def next_deadline(self) -> int | None:
        """When, in ms since the session began, a `DeadlinePassed` is due; None when there is nothing to wait for."""
        return min((at for at, _ in self._deadlines()), default=None)

    def _deadlines(self) -> Iterator[tuple[int, str]]:
        limits = self.head.limits
        if self.state is State.CLOSED:
            return
        asked = [timeline.asked_at for timeline in self._timelines if timeline.asked_at is not None]
        if asked:
            patience = limits.failover_ms if self._can_fail_over else limits.engine_timeout_ms
            yield min(asked) + patience, "engine"
        if self.state is State.OPEN and not asked:
            # While the engine is behind, a silent client may be held back by us.
            yield self._last_activity + limits.idle_timeout_ms, "idle"
            if any(timeline.speaking for timeline in self._timelines):
                yield self._last_audio + limits.stall_ms, "stall"

    @property
    def _pin(self) -> str:
        return self._routes.current.identity.pin

    # --- the one way in ----------------------------------------------------------------------------------------

    def receive(self, event: events.Event) -> list[Action]:  # noqa: C901, PLR0912  one branch an event
        """Take one event; return the actions it causes, to be carried out in order."""
        if self.state is State.CLOSED:
            return []
        match event:
            case events.SessionStarted():
                self._start(event.at)
            case events.AudioReceived():
                self._hear(event)
            case events.HypothesisReceived():
                if any(timeline.answered(event) for timeline in self._timelines):
                    self._last_activity = max(self._last_activity, event.at)
                    self._acknowledge()
            case events.DecodeFailed():
                self._engine_failed(event)
            case events.StreamHeard():
                if any(timeline.stream_heard(event) for timeline in self._timelines):
                    self._last_activity = max(self._last_activity, event.at)
                    self._acknowledge()
            case events.StreamFailed():
                self._stream_failed(event)
            case events.FlushRequested():
                self._flush(event)
            case events.FinishRequested():
                self._finish(event)
            case events.PingReceived():
                self._last_activity = event.at
                self._out.send(messages.pong(event.id))
            case events.ProtocolBroken():
                broken = InvalidInput(event.code, event.message, field=event.field)
                self._end(event.at, _Ending(1008, "protocol broken", broken))
            case events.DeadlinePassed():
                self._deadline(event.at)
            case events.ShutdownRequested():
                self._end(event.at, _Ending(1012, "server restart", restarting()))
        self._report_settled()
        return self._out.take()

    def _start(self, at: int) -> None:
        self._last_activity = self._last_audio = at
        self._out.send_durable(messages.session_started(self.head))
        for timeline in self._timelines:
            timeline.listen(at)
        if self.head.config.keyterms and not self._routes.current.capabilities.keyterms:
            self._out.send(
                messages.warning(
                    InvalidInput(
                        "keyterms_unsupported",
                        f"{self._pin} takes no keyterms; the session goes on without them.",
                        field="keyterms",
                        limit=0,
                    )
                )
            )

    def _hear(self, event: events.AudioReceived) -> None:
        if self.state is not State.OPEN:
            return
        self._last_activity = self._last_audio = event.at
        self._received_bytes, self._position = event.received_bytes, event.position
        for timeline, scores in zip(self._timelines, event.scores, strict=True):
            timeline.hear(event.at, event.position, scores)
        if self._position - self._acked_position >= self.head.limits.ack_every_ms * SAMPLE_RATE // 1000:
            self._acknowledge()
        longest = self.head.limits.max_session_ms
        if position_to_ms(self._position) >= longest:
            problem = TooLarge(
                "session_too_long",
                f"The session has reached its limit of {longest} ms of audio. Open a new one and go on from here.",
                field="max_session_ms",
                limit=longest,
            )
            self._end(event.at, _Ending(4413, "session too long", problem))

    def _flush(self, event: events.FlushRequested) -> None:
        self._last_activity = event.at
        if self.state is State.OPEN:
            self._flushes.append((event.id, self._position))
            for timeline in self._timelines:
                timeline.end_speech(event.at)

    def _finish(self, event: events.FinishRequested) -> None:
        if event.dropped_bytes:
            size = self.head.config.bytes_per_frame
            self._out.send(
                messages.warning(
                    InvalidInput(
                        "partial_sample",
                        f"The last {event.dropped_bytes} bytes are less than one sample frame of {size} bytes and were "
                        "dropped. End the audio on a whole sample.",
                        field="audio",
                        limit=size,
                    )
                )
            )
        self._end(event.at, _Ending(1000, "finished"))

    def _end(self, at: int, ending: _Ending) -> None:
        """Take no more audio, settle what was heard, then close."""
        if self.state is not State.OPEN:
            return
        self._move(Turn.FINISH)
        self._ending = ending
        for timeline in self._timelines:
            timeline.end_speech(at)

    def _engine_failed(self, event: events.DecodeFailed) -> None:
        for timeline in self._timelines:
            if timeline.failed(event) is False:
                self._fail_over(event.at, EngineFailed("engine_failed", f"{self._pin}: {event.message}"))
                return

    def _stream_failed(self, event: events.StreamFailed) -> None:
        for timeline in self._timelines:
            if timeline.stream_failed(event) is False:
                self._fail_over(event.at, EngineFailed("engine_failed", f"{self._pin}: {event.message}"))
                return

    @property
    def _can_fail_over(self) -> bool:
        """Whether the next route may take over: there is one, and the client's wish allows it by now."""
        untold = not self._out.engines
        allowed = self.head.fallback == "anytime" or (self.head.fallback == "before_text" and untold)
        return self._routes.has_next and allowed

    def _fail_over(self, at: int, problem: SpeechlaneError) -> None:
        """The engine in force failed or stalled: the next route hears what is not settled, or the session breaks."""
        if self._can_fail_over:
            self._change_route(at, problem.code)
        else:
            self._break(problem)

    def _change_route(self, at: int, reason: str) -> None:
        for timeline in self._timelines:
            timeline.hand_over()
        settled = min(timeline.safe for timeline in self._timelines)
        before, after = self._routes.advance()
        self._out.send_durable(
            messages.route_changed(before, after, position_to_ms(settled), reason, self.head.config.language)
        )
        for timeline in self._timelines:
            timeline.listen(at)

    def _deadline(self, at: int) -> None:
        due = {name for moment, name in self._deadlines() if moment <= at}
        limits = self.head.limits
        if "engine" in due:
            patience = limits.failover_ms if self._can_fail_over else limits.engine_timeout_ms
            self._fail_over(
                at,
                EngineFailed(
                    "engine_stalled",
                    f"{self._pin} has not answered for {patience} ms. Try again later.",
                    limit=patience,
                ),
            )
        elif "idle" in due:
            problem = InvalidInput(
                "idle_timeout",
                f"Nothing came for {limits.idle_timeout_ms} ms. Send audio, silence or a ping to keep a session open.",
                field="idle_timeout_ms",
                limit=limits.idle_timeout_ms,
            )
            self._end(at, _Ending(4408, "idle too long", problem))
        elif "stall" in due:
            for timeline in self._timelines:
                timeline.end_speech(at)

    # --- the ways out ------------------------------------------------------------------------------------------

    def _acknowledge(self) -> None:
        """Tell how much of the client's stream is here, and what it need not keep."""
        config = self.head.config
        safe = min(timeline.safe for timeline in self._timelines)
        replay_from = min(safe * config.sample_rate // SAMPLE_RATE * config.bytes_per_frame, self._received_bytes)
        ack = (self._received_bytes, replay_from)
        if ack != self._acked:
            self._acked, self._acked_position = ack, self._position
            self._out.send(messages.audio_ack(*ack, position_to_ms(safe)))

    def _report_settled(self) -> None:
        """Answer the flushes whose audio is settled; close when the end was asked for and all is settled."""
        waiting = []
        for flush_id, position in self._flushes:
            if all(timeline.settled or timeline.safe >= position for timeline in self._timelines):
                self._out.send_durable(messages.audio_flushed(flush_id))
            else:
                waiting.append((flush_id, position))
        self._flushes = waiting
        if self.state is State.FINISHING and all(timeline.settled for timeline in self._timelines):
            self._close()

    def _close(self) -> None:
        assert self._ending is not None
        self._move(Turn.SETTLED)
        ending = self._ending
        self._acknowledge()
        if ending.problem is None:
            self._out.send_durable(
                messages.session_finished(
                    duration_ms=position_to_ms(self._position),
                    speech_ms=position_to_ms(sum(timeline.speech for timeline in self._timelines)),
                    segments=sum(timeline.numbered for timeline in self._timelines),
                    engines=list(self._out.engines),
                    cost=None,
                )
            )
        if ending.problem is not None:
            self._out.send(messages.error(ending.problem))
        self._out.do(Close(ending.code, ending.reason))

    def _break(self, problem: SpeechlaneError) -> None:
        """The engine is gone: say so and close; nothing unsettled is shown as final."""
        if self.state is State.CLOSED:
            return
        for timeline in self._timelines:
            timeline.withdraw()
        self._move(Turn.BROKEN)
        self._out.send(messages.error(problem))
        self._out.do(Close(1011, problem.code))

    def _move(self, turn: Turn) -> None:
        self.state = TRANSITIONS[self.state, turn]
