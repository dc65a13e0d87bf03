"""Drives the live core without sockets, clock or sound: scripted speech scores and a scripted engine.

The engine may revise any word it has not been told to keep, may be late, may fail, may loop: whatever it does, the
contract's guarantees must hold.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from speechlane.engine import Capabilities, EngineIdentity, Hypothesis, HypothesisWord
from speechlane.live import Session, events
from speechlane.live.actions import Action, Close, Decode, RecordChunk, Send, Withdraw
from speechlane.live.config import LivePolicy, SessionConfig, SessionHead, SessionLimits
from speechlane.live.log import event_line, head_line, message_line
from speechlane.live.messages import encode
from speechlane.provenance import ChunkRecord
from speechlane.router import Route

FRAME = 512
BLOCK = 1024


@dataclass(frozen=True)
class Spoken:
    """A word of the script: sample positions and text with its leading space."""

    text: str
    start: int
    end: int


@dataclass
class Script:
    """What is said: words in order, and the stretches that the speech gate's model scores as speech."""

    words: list[Spoken]
    duration: int

    def score(self, frame: int) -> float:
        start, end = frame * FRAME, (frame + 1) * FRAME
        return 0.95 if any(word.start < end and word.end > start for word in self.words) else 0.02


def head(**config: object) -> SessionHead:
    """A session head with the scripted engine, as the composition root would make it."""
    fields = {"encoding": "pcm_s16le", "sample_rate": 16_000, "bytes_per_frame": 2, "language": "en"} | config
    return SessionHead(
        session="ses_test",
        tenant="default",
        started_at="2026-11-21T10:00:00.000Z",
        software="speechlane test",
        config=SessionConfig(**fields),
        policy=LivePolicy(),
        limits=SessionLimits(),
        routes=(
            Route(
                EngineIdentity("scripted", "1", "script", "0" * 40, "f" * 64, "cpu", "none"),
                Capabilities(frozenset({"en"}), False, True, True, True, False, 480_000),
                "only route",
            ),
        ),
        frame_samples=FRAME,
        preprocess_digest="0" * 64,
    )


Answer = Callable[[Decode, Script], Hypothesis]


def honest(ask: Decode, script: Script) -> Hypothesis:
    """Every word whose middle lies in the window, behind the settled ones; a word cut by the edge is misheard.

    A word's one token is its number in the script, so a prefix tells which words are settled.
    """
    words = []
    for number, word in enumerate(script.words):
        if number <= max(ask.prefix, default=-1) or not ask.start <= (word.start + word.end) // 2 < ask.end:
            continue
        start, end = max(word.start, ask.start) - ask.start, min(word.end, ask.end) - ask.start
        text = " uh" if word.end > ask.end else word.text
        words.append(HypothesisWord(text, start, end, 0.9, (number,)))
    return Hypothesis(tuple(words), "en")


def revising(seed: int, rate: float = 0.3) -> Answer:
    """Mishears, drops, doubles and shifts words at random, anywhere in the window, differently at each decode."""
    chance = random.Random(seed)

    def answer(ask: Decode, script: Script) -> Hypothesis:
        words: list[HypothesisWord] = []
        floor = 0
        for word in honest(ask, script).words:
            text, start, end = word.text, word.start, word.end
            dice = chance.random()
            if dice < rate / 4:
                continue
            if dice < rate / 2:
                text = f" x{chance.randrange(3)}"
            if dice > 1 - rate / 4:
                start, end = start - chance.randrange(4000), end + chance.randrange(4000)
            start = max(floor, min(start, ask.end - ask.start))
            end = max(start, min(end, ask.end - ask.start))
            floor = end
            words.append(HypothesisWord(text, start, end, chance.choice([None, 0.2, 0.9]), word.tokens))
        return Hypothesis(
            tuple(words),
            "en",
            no_speech_probability=chance.random(),
            average_logprob=-2 * chance.random(),
            repetitive=chance.random() < rate / 10,
            truncated=chance.random() < rate / 20,
        )

    return answer


@dataclass
class Simulation:
    """One session under simulation. ``latency`` gives each decode's answer delay in blocks of audio."""

    script: Script
    answer: Answer = honest
    latency: Callable[[], int] = lambda: 0
    config: dict[str, object] = field(default_factory=dict)
    late_answers: bool = False
    fail: Callable[[Decode], events.DecodeFailed | None] = lambda ask: None

    def __post_init__(self) -> None:
        self.head = head(**self.config)
        self.session = Session(self.head)
        self.at = 0
        self.position = 0
        self.messages: list[dict] = []
        self.records: list[ChunkRecord] = []
        self.asked: list[Decode] = []
        self.closed: int | None = None
        self.log = [head_line(self.head)]
        self._waiting: list[tuple[int, Decode]] = []
        self._feed(events.SessionStarted(0))

    def run(self, *, flush_at: Sequence[int] = ()) -> Simulation:
        """Speak the whole script, flushing at these positions, then finish and let the engine answer."""
        flushes = sorted(flush_at)
        while self.position < self.script.duration:
            self.hear_block()
            while flushes and flushes[0] <= self.position:
                flushes.pop(0)
                self._feed(events.FlushRequested(self.at, f"f{self.position}"))
        return self.finish()

    def finish(self) -> Simulation:
        self._feed(events.FinishRequested(self.at))
        while self._waiting or self.session.next_deadline() is not None:
            self.at += 64
            self._answer_due(everything=True)
            self._deadline()
        return self

    def _deadline(self) -> None:
        deadline = self.session.next_deadline()
        if deadline is not None and deadline <= self.at:
            self._feed(events.DeadlinePassed(self.at))

    def hear_block(self) -> None:
        """One block of audio arrives; answers that are due come after it."""
        first = self.position // FRAME
        self.position += BLOCK
        self.at += BLOCK // 16
        scores = tuple(self.script.score(frame) for frame in range(first, self.position // FRAME))
        timelines = self.head.config.timelines
        self._feed(events.AudioReceived(self.at, self.position, self.position * 2, (scores,) * timelines))
        self._answer_due()

    def _answer_due(self, *, everything: bool = False) -> None:
        again = True
        while again:
            again = False
            for item in sorted(self._waiting, key=lambda item: item[0]):
                if everything or item[0] <= self.position:
                    self._waiting.remove(item)
                    self._reply(item[1])
                    again = True
                    break

    def _reply(self, ask: Decode) -> None:
        failure = self.fail(ask)
        if failure is not None:
            self._feed(replace(failure, at=self.at))
            return
        digest = hashlib.sha256(f"{ask.start}-{ask.end}".encode()).hexdigest()
        self._feed(events.HypothesisReceived(self.at, ask.request, self.answer(ask, self.script), digest))

    def _feed(self, event: events.Event) -> None:
        self.log.append(event_line(event))
        for action in self.session.receive(event):
            self._do(action)

    def _do(self, action: Action) -> None:
        match action:
            case Decode():
                self.asked.append(action)
                self._waiting.append((self.position + self.latency() * BLOCK, action))
            case Withdraw() if not self.late_answers:
                self._waiting = [item for item in self._waiting if item[1].request != action.request]
            case RecordChunk():
                self.records.append(action.record)
            case Send():
                assert self.closed is None
                recorded = [record.as_fields() for record in self.records]
                assert all(record in recorded for record in action.message.get("provenance", []))
                text = encode(action.message)
                self.log.append(message_line(text))
                self.messages.append(action.message)
            case Close():
                self.closed = action.code
            case _:
                pass

    def of(self, kind: str) -> list[dict]:
        return [message for message in self.messages if message["type"] == kind]

    @property
    def text(self) -> str:
        return " ".join(final["text"].strip() for final in self.of("caption.final") if final["text"])
