"""A live session over several routes, windows and streams, that fail, stall and revise at will."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from live_simulation import BLOCK, Script, Simulation, head, honest

from speechlane.engine import Capabilities, EngineIdentity, Hypothesis, HypothesisWord, StreamResult
from speechlane.live import Session, events
from speechlane.live.actions import Action, CloseStream, Decode, FlushStream, OpenStream, SendAudio
from speechlane.live.log import head_line
from speechlane.router import Route

TOKENS_A_ROUTE = 1_000


@dataclass(frozen=True)
class Plan:
    """How a route behaves.

    ``spell`` and ``shift`` (samples) say how it writes and times words, ``fails_at`` and ``silent_at`` from which
    position on it fails or falls silent, None for never.
    """

    streaming: bool
    spell: Callable[[str], str] = lambda text: text
    fails_at: int | None = None
    silent_at: int | None = None
    retryable: bool = False
    shift: int = 0

    def heard(self, word: HypothesisWord, length: int) -> HypothesisWord:
        """The word as this engine writes and times it: ``shift`` samples late, within the sound it was given."""
        start, end = (min(max(at + self.shift, 0), length) for at in (word.start, word.end))
        return replace(word, text=self.spell(word.text), start=start, end=end)


def route(number: int, plan: Plan) -> Route:
    return Route(
        EngineIdentity(f"engine{number}", "1", f"model{number}", str(number) * 40, None, None, None),
        Capabilities(frozenset({"en"}), False, True, True, not plan.streaming, False, 480_000, plan.streaming),
        f"route {number}",
    )


@dataclass
class _Stream:
    """One open stream: settles behind a pause, at a flush, or after some seconds of speech."""

    opened: OpenStream
    plan: Plan
    sent: int
    settled: int
    broken: bool = False

    def words(self, script: Script) -> list[HypothesisWord]:
        start = self.opened.start
        heard = []
        for word in script.words:
            middle = (word.start + word.end) // 2
            if self.settled <= middle < self.sent and middle >= start:
                begin, end = max(word.start, start) - start, min(word.end, self.sent) - start
                plain = HypothesisWord(word.text, begin, max(begin, end), 0.9)
                heard.append(self.plan.heard(plain, self.sent - start))
        return heard


class RouteSimulation(Simulation):
    """A `Simulation` whose head has these routes; ``chance`` decides when streams tell, and what of it is wrong."""

    def __init__(self, script: Script, plans: Sequence[Plan], *, seed: int = 0, revise: float = 0.0, **fields) -> None:
        self.plans = list(plans)
        self.chance, self.revise = random.Random(seed), revise
        self.streams: dict[int, _Stream] = {}
        fallback = fields.pop("fallback", "anytime")
        super().__init__(script, answer=self._window, **fields)
        self.head = replace(
            head(**self.config),
            routes=tuple(route(number, plan) for number, plan in enumerate(plans)),
            fallback=fallback,
        )
        self.session = Session(self.head)
        self.messages.clear()
        self.log = [head_line(self.head)]
        self._feed(events.SessionStarted(0))

    def _window(self, ask: Decode, script: Script) -> Hypothesis:
        base = ask.route * TOKENS_A_ROUTE
        assert all(base <= token < base + TOKENS_A_ROUTE for token in ask.prefix), "another engine's tokens"
        plain = honest(replace(ask, prefix=tuple(token - base for token in ask.prefix)), script)
        length = ask.end - ask.start
        words = []
        for word in plain.words:
            heard = word if word.text == " uh" else self.plans[ask.route].heard(word, length)
            words.append(replace(heard, tokens=(word.tokens[0] + base,)))
        return replace(plain, words=tuple(words))

    def _reply(self, ask: Decode) -> None:
        plan = self.plans[ask.route]
        if plan.silent_at is not None and self.position >= plan.silent_at:
            return
        if plan.fails_at is not None and self.position >= plan.fails_at:
            failed = events.DecodeFailed(self.at, ask.request, "engine_failed", "scripted", plan.retryable)
            self._feed(failed)
            return
        super()._reply(ask)

    def _do(self, action: Action) -> None:
        match action:
            case OpenStream():
                plan = self.plans[action.route]
                self.streams[action.stream] = _Stream(action, plan, action.start, action.start)
            case SendAudio():
                stream = self.streams[action.stream]
                assert action.start == stream.sent, "audio follows on without gap"
                stream.sent = action.end
            case FlushStream():
                self._later.append((action.stream, True))
            case CloseStream():
                del self.streams[action.stream]
            case _:
                super()._do(action)

    @property
    def _later(self) -> list[tuple[int, bool]]:
        return self.__dict__.setdefault("_flushes", [])

    def hear_block(self) -> None:
        super().hear_block()
        self._streams_tell()
        self._deadline()

    def finish(self):
        self._feed(events.FinishRequested(self.at))
        for _ in range(4_000):
            if self.closed is not None:
                break
            self.at += 64
            self._streams_tell()
            self._answer_due(everything=True)
            self._deadline()
        return self

    def _streams_tell(self) -> None:
        flushes, self._later[:] = list(self._later), []
        for number, _ in flushes:
            if number in self.streams:
                self._tell(number, final=True)
        for number in list(self.streams):
            stream = self.streams.get(number)
            if stream is None:
                continue
            if stream.plan.fails_at is not None and self.position >= stream.plan.fails_at and not stream.broken:
                stream.broken = True
                self._feed(events.StreamFailed(self.at, number, "stream_broken", "scripted", stream.plan.retryable))
                continue
            words = stream.words(self.script)
            if not words:
                continue
            quiet = stream.sent - stream.opened.start - words[-1].end
            if quiet >= 8_000 or (quiet > 0 and self.chance.random() < 0.05):
                self._tell(number, final=True)
            elif self.chance.random() < 0.4:
                self._tell(number, final=False)

    def _tell(self, number: int, *, final: bool) -> None:
        stream = self.streams[number]
        plan = stream.plan
        if stream.broken or (plan.silent_at is not None and self.position >= plan.silent_at):
            return
        words = stream.words(self.script)
        if not final or self.revise:
            words = [
                replace(word, text=f" x{self.chance.randrange(3)}") if self.chance.random() < self.revise else word
                for word in words
            ]
        start, end = stream.settled - stream.opened.start, stream.sent - stream.opened.start
        digest = hashlib.sha256(f"{start}-{end}".encode()).hexdigest() if final else None
        result = StreamResult(start, end, final, tuple(words), "en")
        if final:
            stream.settled = stream.sent
        self._feed(events.StreamHeard(self.at, number, result, digest))


__all__ = ["BLOCK", "Plan", "RouteSimulation", "route"]
