"""One clip through the live core in scripted time: the real engine and gate, but no clock.

Audio comes in frames of 20 ms; an answer comes a stated time after its request, so that a run measures the policy and
not the machine, and can be repeated.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from decode_cache import CachedEngine

from speechlane.audio import SAMPLE_RATE, Samples, position_to_ms
from speechlane.engine import DecodeRequest
from speechlane.live import Session, events
from speechlane.live.actions import Decode, Send, Withdraw
from speechlane.live.config import LivePolicy, SessionConfig, SessionHead, SessionLimits
from speechlane.router import Route

BLOCK = 320
"""Samples a frame: 20 ms, as browsers and telephones send them."""


def answer_ms(padded: int) -> int:
    """How long an answer takes: 50 ms and 10 ms for each padded second.

    tiny.en int8 on two idle cores, batch 1: 116 ms at 10 s, 138 at 15, 175 at 20, 290 at 30; this is a third more.
    """
    return 50 + 10 * padded // SAMPLE_RATE


class ScriptedLane:
    """Runs one clip; afterwards ``shown`` holds what a reader saw and ``settled`` when each word became stable.

    ``shown``: (ms, all words on the screen) after each moment with a message. ``settled``: ms, one a word, in order.
    """

    def __init__(self, samples: Samples, engine: CachedEngine, policy: LivePolicy, language: str | None = "en") -> None:
        self.audio = np.concatenate([samples, np.zeros(SAMPLE_RATE, np.float32)])
        self._engine = engine
        self._scores = engine.scores(self.audio)
        decoder = engine.decoder
        head = SessionHead(
            session="bench",
            tenant="bench",
            started_at="2026-01-01T00:00:00.000Z",
            software="bench",
            config=SessionConfig(encoding="pcm_f32le", sample_rate=SAMPLE_RATE, bytes_per_frame=4, language=language),
            policy=policy,
            limits=SessionLimits(),
            routes=(Route(decoder.identity, decoder.capabilities, "bench"),),
            frame_samples=engine.gate.frame_samples,
            preprocess_digest="",
        )
        self._session = Session(head)
        self._waiting: list[tuple[int, Decode]] = []
        self._texts: dict[int, list[str]] = {}
        self._stable: dict[int, int] = {}
        self.decodes = self.engine_ms = 0
        self.finals: list[dict] = []
        self.shown: list[tuple[int, list[str]]] = []
        self.settled: list[int] = []

    def run(self) -> ScriptedLane:
        self._receive(events.SessionStarted(0))
        frame, scored = self._engine.gate.frame_samples, 0
        for end in range(BLOCK, len(self.audio) + 1, BLOCK):
            at = position_to_ms(end)
            self._answer_until(at)
            frames = end // frame
            self._receive(events.AudioReceived(at, end, end * 4, (self._scores[scored:frames],)))
            scored = frames
        self._receive(events.FinishRequested(position_to_ms(len(self.audio))))
        self._answer_until(None)
        return self

    @property
    def words(self) -> list[str]:
        return [word["text"].strip() for final in self.finals for word in final["words"]]

    @property
    def text(self) -> str:
        return " ".join(final["text"] for final in self.finals)

    def _answer_until(self, at: int | None) -> None:
        while self._waiting and (at is None or self._waiting[0][0] <= at):
            due, ask = self._waiting.pop(0)
            self.decodes += 1
            self.engine_ms += answer_ms(ask.padded)
            request = DecodeRequest(
                self.audio[ask.start : ask.end], ask.padded, ask.language, ask.prefix, ask.options, ask.priority
            )
            self._receive(events.HypothesisReceived(due, ask.request, self._engine.decode(request), ""))

    def _receive(self, event: events.Event) -> None:
        said = False
        for action in self._session.receive(event):
            match action:
                case Decode():
                    self._waiting.append((event.at + answer_ms(action.padded), action))
                case Withdraw():
                    self._waiting = [item for item in self._waiting if item[1].request != action.request]
                case Send() if action.message["type"] in {"caption.partial", "caption.final"}:
                    self._caption(event.at, action.message)
                    said = True
        if said:
            self.shown.append((event.at, [word for number in sorted(self._texts) for word in self._texts[number]]))

    def _caption(self, at: int, message: dict) -> None:
        words: Sequence[dict] = message["words"]
        segment = message["segment"]
        final = message["type"] == "caption.final"
        stable = len(words) if final else sum(word["stable"] for word in words)
        self.settled += [at] * (stable - self._stable.get(segment, 0))
        self._stable[segment] = stable
        self._texts[segment] = [word["text"].strip() for word in words]
        if final:
            self.finals.append(message)
