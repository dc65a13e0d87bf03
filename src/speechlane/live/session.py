"""The sans-I/O session: one way in (`receive`), actions out by return, deadlines told (`next_deadline`).

In the manner of h11 and of websockets' ``protocol.py``: a driver owns the socket, the clock and the engine; the
session owns every decision.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from speechlane.audio import SAMPLE_RATE, position_to_ms
from speechlane.errors import InvalidInput, SpeechlaneError
from speechlane.live import endings, events, messages
from speechlane.live.actions import Action, Close, Resend
from speechlane.live.config import SessionHead
from speechlane.live.outbox import Outbox
from speechlane.live.presence import Presence
from speechlane.live.receipts import Receipts
from speechlane.live.routed import RoutedTimeline
from speechlane.live.routes import Routes
from speechlane.live.states import TRANSITIONS, State, Turn
from speechlane.router import Route


class Session:
    """One live session. Not safe for concurrent use: the driver feeds it one event after another."""

    def __init__(self, head: SessionHead) -> None:
        self.head = head
        self.state = State.OPEN
        self._out = Outbox(head)
        self._routes = Routes(head.routes, self._out)
        self._timelines = [
            RoutedTimeline(head, channel, self._routes, self._out) for channel in range(head.config.timelines)
        ]
        self._receipts = Receipts(head.config, self._out)
        self.position = 0
        """Samples heard."""
        self._acked_position = 0
        self._presence = Presence(head.limits)
        self._flushes: deque[tuple[str | None, list[int]]] = deque()
        self._ending: endings.Ending | None = None

    # --- what a driver may ask ---------------------------------------------------------------------------------

    @property
    def last_seq(self) -> int:
        """Of the last durable message."""
        return self._out.seq

    @property
    def routes(self) -> tuple[Route, ...]:
        """In order of preference, by the engines that serve them now."""
        return self._routes.all

    @property
    def lost_at(self) -> int | None:
        """Since when the client's connection is gone."""
        return self._presence.lost_at

    @property
    def safe(self) -> int:
        """All before this sample is settled or silence: no final that is still to come has words there."""
        return min(timeline.safe for timeline in self._timelines)

    @property
    def listening(self) -> bool:
        """Whether audio is taken; what is not taken now is heard when the session goes on."""
        return self.state is State.OPEN or (self.state is State.DRAINING and self._speaking)

    @property
    def _speaking(self) -> bool:
        return any(timeline.speaking for timeline in self._timelines)

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
        if self.state is State.CLOSED:
            return
        asked = [timeline.asked_at for timeline in self._timelines if timeline.asked_at is not None]
        if asked:
            yield min(asked) + self._patience, "engine"
        retries = [timeline.retry_at for timeline in self._timelines if timeline.retry_at is not None]
        yield from ((at, "retry") for at in retries)
        behind = bool(asked or retries)
        yield from self._presence.deadlines(self.state, engine_behind=behind, speaking=self._speaking)

    @property
    def _pin(self) -> str:
        return self._routes.current.identity.pin

    # --- the one way in ----------------------------------------------------------------------------------------

    def receive(self, event: events.Event) -> list[Action]:  # noqa: C901, PLR0912  one branch an event
        """Take one event; return the actions it causes, to be carried out in order."""
        if self.state is State.CLOSED:
            return self._tell_again(event) if isinstance(event, events.ConnectionResumed) else []
        match event:
            case events.SessionStarted():
                self._start(event.at)
            case events.AudioReceived():
                self._hear(event)
            case events.HypothesisReceived():
                if any(timeline.answered(event) for timeline in self._timelines):
                    self._presence.active(event.at)
                    self._acknowledge()
            case events.DecodeFailed() | events.StreamFailed():
                self._engine_failed(event)
            case events.StreamHeard():
                if any(timeline.stream_heard(event) for timeline in self._timelines):
                    self._presence.active(event.at)
                    self._acknowledge()
            case events.FlushRequested():
                self._flush(event)
            case events.FinishRequested():
                self._finish(event)
            case events.PingReceived():
                self._presence.active(event.at)
                self._out.send(messages.pong(event.id))
            case events.ProtocolBroken():
                broken = InvalidInput(event.code, event.message, field=event.field)
                self._end(event.at, endings.Ending(1008, "protocol broken", broken))
            case events.StorageFilled():
                self._end(event.at, endings.full(self.head.limits))
            case events.LoadChanged():
                if self._routes.pace.change(event, can_move=self._can_fail_over):
                    self._change_route(event.at, "overload")
            case events.DeadlinePassed():
                self._deadline(event.at)
            case events.ConnectionLost():
                self._presence.lost_at = event.at
            case events.ConnectionResumed():
                self._presence.back(event.at)
                self._resume(event)
            case events.ServerRestarted():
                self._restarted(event)
            case events.ShutdownRequested():
                self._shut_down(event.at)
        if self._flushes or self.state is not State.OPEN:
            self._report_settled()
        return self._out.take()

    def _start(self, at: int) -> None:
        self._presence.heard(at)
        self._out.send_durable(messages.session_started(self.head))
        for timeline in self._timelines:
            timeline.listen(at)
        if self.head.config.keyterms and not self._routes.current.capabilities.keyterms:
            self._out.send(messages.warning(endings.keyterms_unsupported(self._pin)))

    def _hear(self, event: events.AudioReceived) -> None:
        if not self.listening:
            return
        self._presence.heard(event.at)
        self.position = event.position
        self._receipts.take(event)
        for timeline, scores in zip(self._timelines, event.scores, strict=True):
            timeline.hear(event.at, event.position, scores)
        if self.position - self._acked_position >= self.head.limits.ack_every_ms * SAMPLE_RATE // 1000:
            self._acknowledge()
        if position_to_ms(self.position) >= self.head.limits.max_session_ms:
            self._end(event.at, endings.too_long(self.head.limits))

    def _flush(self, event: events.FlushRequested) -> None:
        self._presence.active(event.at)
        if self.state is State.OPEN:
            for timeline in self._timelines:
                timeline.end_speech(event.at)
            self._flushes.append((event.id, [timeline.queued_to for timeline in self._timelines]))
            if len(self._flushes) > endings.MAX_FLUSHES:
                self._end(event.at, endings.FLOODED)

    def _finish(self, event: events.FinishRequested) -> None:
        if self.state is State.FINISHING:
            return
        if event.dropped_bytes:
            problem = endings.partial_sample(event.dropped_bytes, self.head.config.bytes_per_frame)
            self._out.send(messages.warning(problem))
        self._end(event.at, endings.FINISHED)

    def _end(self, at: int, ending: endings.Ending) -> None:
        """Take no more audio, settle what was heard, then close."""
        if self.state is State.FINISHING:
            return
        self._move(Turn.FINISH)
        self._ending = ending
        for timeline in self._timelines:
            timeline.end_speech(at)

    # --- connections and restarts ------------------------------------------------------------------------------

    def _resume(self, event: events.ConnectionResumed) -> None:
        """Give a new connection what the client lacks: durable messages, then the newest partials."""
        self._receipts.resume(event, self.position)
        self._out.do(Resend(event.after_seq, self._out.seq))
        for partial in self._out.partials.values():
            self._out.send(partial)

    def _tell_again(self, event: events.ConnectionResumed) -> list[Action]:
        """The session is over, and its end did not reach the client."""
        assert self._ending is not None
        self._resume(event)
        self._say_goodbye(self._ending)
        return self._out.take()

    def _restarted(self, event: events.ServerRestarted) -> None:
        if self.state in {State.DRAINING, State.SUSPENDED}:
            self._move(Turn.RESTART)
        self._presence.lost_at = event.at
        if event.routes:
            self._change_route(event.at, "engine_upgraded", event.routes)
        else:
            for timeline in self._timelines:
                timeline.ask_again(event.at)

    def _shut_down(self, at: int) -> None:
        """Settle what was heard, up to the next pause if there is one soon; a session that can be resumed goes on."""
        if not self.head.limits.resume_window_ms:
            self._end(at, endings.Ending(1012, "server restart", endings.restarting(resumable=False)))
        elif self.state is State.OPEN:
            self._move(Turn.DRAIN)
            self._presence.drain(at)

    def _engine_failed(self, event: events.DecodeFailed | events.StreamFailed) -> None:
        for timeline in self._timelines:
            if timeline.failed(event, self._patience) is False:
                self._fail_over(event.at, endings.failed(self._pin, event))
                return

    @property
    def _patience(self) -> int:
        """For how many ms the engine in force may owe an answer, or do nothing but fail."""
        return self.head.limits.failover_ms if self._can_fail_over else self.head.limits.engine_timeout_ms

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

    def _change_route(self, at: int, reason: str, renewed: tuple[Route, ...] = ()) -> None:
        """Go on with the next route, or with the ``renewed`` ones; what is stable stays under the one that made it."""
        for timeline in self._timelines:
            timeline.hand_over()
        settled = position_to_ms(self.safe)
        before, after = self._routes.renew(renewed) if renewed else self._routes.advance()
        self._out.send_durable(messages.route_changed(before, after, settled, reason, self.head.config.language))
        if not renewed:
            self._routes.pace.leave()
        for timeline in self._timelines:
            timeline.listen(at)

    def _deadline(self, at: int) -> None:
        due = {name for moment, name in self._deadlines() if moment <= at}
        if "engine" in due:
            self._fail_over(at, endings.stalled(self._pin, self._patience))
        elif "retry" in due:
            for timeline in self._timelines:
                timeline.retry(at)
        elif ending := endings.overdue(due, self.head.limits):
            self._end(at, ending)
        elif "idle" in due:
            self._idle(at)
        elif due & {"stall", "pause"}:
            for timeline in self._timelines:
                timeline.end_speech(at)

    def _idle(self, at: int) -> None:
        """Nothing came: the client is silent, or its network died. Where it may come back, its session waits."""
        if not self.head.limits.resume_window_ms:
            return self._end(at, endings.idle(self.head.limits))
        self._presence.lost_at = at
        return self._say_goodbye(endings.idle(self.head.limits), waits=True)

    # --- the ways out ------------------------------------------------------------------------------------------

    def _acknowledge(self) -> None:
        self._acked_position = self.position
        self._receipts.acknowledge(self.position, self.safe)

    def _report_settled(self) -> None:
        """Answer the flushes whose audio is settled; close when the end was asked for and all is settled."""
        # Each reaches at least as far as those before it, so that the first that waits speaks for all behind it.
        while self._flushes and all(
            line.settled or line.safe >= end for line, end in zip(self._timelines, self._flushes[0][1], strict=True)
        ):
            self._out.send_durable(messages.audio_flushed(self._flushes.popleft()[0]))
        if self.state not in {State.FINISHING, State.DRAINING} or self._speaking:
            return
        if all(timeline.settled for timeline in self._timelines):
            self._acknowledge()
            if self.state is State.FINISHING:
                self._close()
            else:
                self._move(Turn.SETTLED)
                self._out.send(messages.error(endings.restarting(resumable=True)))
                self._out.do(Close(1012, "server restart"))

    def _close(self) -> None:
        assert self._ending is not None
        self._move(Turn.SETTLED)
        ending = self._ending
        if ending.problem is None:
            self._out.send_durable(
                messages.session_finished(
                    duration_ms=position_to_ms(self.position),
                    speech_ms=position_to_ms(sum(timeline.speech for timeline in self._timelines)),
                    segments=sum(timeline.numbered for timeline in self._timelines),
                    engines=list(self._out.engines),
                    cost=None,
                )
            )
        self._say_goodbye(ending)

    def _say_goodbye(self, ending: endings.Ending, *, waits: bool = False) -> None:
        if ending.problem is not None:
            self._out.send(messages.error(ending.problem))
        self._out.do(Close(ending.code, ending.reason, waits))

    def _break(self, problem: SpeechlaneError) -> None:
        """The engine is gone: say so and close; nothing unsettled is shown as final."""
        if self.state is State.CLOSED:
            return
        for timeline in self._timelines:
            timeline.withdraw()
        self._move(Turn.BROKEN)
        self._ending = endings.Ending(1011, problem.code, problem)
        self._say_goodbye(self._ending)

    def _move(self, turn: Turn) -> None:
        self.state = TRANSITIONS[self.state, turn]
