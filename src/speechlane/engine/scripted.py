"""The honest fakes: an engine and a speech gate that hear a script, and fail as the real ones fail.

What they answer follows from the audio alone: it carries its own position (`scripted_audio`), so the same window gives
the same answer in any order, from any session. They make the mistakes that lanes must live with: a word near the
window's edge reads otherwise until more is heard, a loop repeats itself to the token bound, a call fails.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from speechlane.audio import SAMPLE_RATE, position_to_ms
from speechlane.engine.checks import check_request, engine_closed, invalid_prefix
from speechlane.engine.scripted_audio import WHOLE_HEADER_SAMPLES, position_of
from speechlane.engine.seam import Capabilities, DecodeFigures, EngineIdentity, Hypothesis, HypothesisWord

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from speechlane.audio import Samples
    from speechlane.engine.seam import DecodeRequest
    from speechlane.errors import SpeechlaneError


# As many as Whisper may answer at once.
_ANSWER_TOKENS = 224
_FRAME_SAMPLES = 512


@dataclass(frozen=True, slots=True)
class ScriptedWord:
    """A word of the script: positions are sample counts on the recording's timeline, start < end.

    ``drafts`` are what is heard in its stead while less audio is seen: ``(seen, text)``, ascending, each in force while
    fewer than ``seen`` samples lie between the word's start and the window's end; an empty text is not heard at all.
    ``misheard``: what is heard instead while no keyterm names the word; empty when it needs no naming.
    ``loops``: greedy decoding repeats the word to the token bound; with the repetition guard on it does not.
    """

    text: str
    start: int
    end: int
    probability: float = 0.9
    drafts: tuple[tuple[int, str], ...] = ()
    loops: bool = False
    misheard: str = ""


def unstable(script: Iterable[ScriptedWord], samples: int) -> tuple[ScriptedWord, ...]:
    """The script with every word cut to half its letters while it ends less than ``samples`` before the edge."""
    return tuple(
        replace(word, drafts=((word.end - word.start + samples, word.text[: len(word.text) // 2 + 1]),))
        for word in script
    )


@dataclass(slots=True)
class ScriptedEngine:
    """An `Engine` that hears the words of a script that begin in the window it is shown.

    A word that began before the window is not heard. A word's token is its number in the script, counted from 0, so a
    prefix of such tokens says which words to leave out, in whatever form they were read when they were settled.

    Args:
        script: words in order, not overlapping.
        languages: primary subtags; the first is what detection finds. With one language none is detected.
        failures: outcomes of the first calls in order: an error to raise, or None for an answer.
        before_answer: awaited with each accepted request, for engines that take time or never answer.
    """

    script: Sequence[ScriptedWord]
    languages: tuple[str, ...] = ("en",)
    failures: Sequence[SpeechlaneError | None] = ()
    before_answer: Callable[[DecodeRequest], Awaitable[None]] | None = None
    max_window_samples: int = 30 * SAMPLE_RATE
    _calls: int = field(default=0, init=False)
    _closed: bool = field(default=False, init=False)

    @property
    def identity(self) -> EngineIdentity:
        return EngineIdentity("scripted", "scripted 1", "script", "0" * 40, "f" * 64, "cpu", "none")

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            languages=frozenset(self.languages),
            detects_language=len(self.languages) > 1,
            word_times=True,
            confidences=True,
            prefix=True,
            keyterms=True,
            max_window_samples=self.max_window_samples,
        )

    async def decode(self, request: DecodeRequest) -> Hypothesis:
        """Answer from the script; see `Engine.decode` for the errors."""
        check_request(request, self.capabilities)
        if not all(0 <= token < len(self.script) for token in request.prefix):
            raise invalid_prefix("it holds tokens of no word in the script")
        if self._closed:
            raise engine_closed()
        failure = self.failures[self._calls] if self._calls < len(self.failures) else None
        self._calls += 1
        if self.before_answer is not None:
            await self.before_answer(request)
        if failure is not None:
            raise failure
        return self._hear(request)

    async def aclose(self) -> None:
        self._closed = True

    def _hear(self, request: DecodeRequest) -> Hypothesis:
        bound = request.options.max_tokens or _ANSWER_TOKENS
        start = position_of(request.samples)
        words = [] if start is None else self._words(start, request)
        looping = next((at for at, word in enumerate(words) if self.script[word.tokens[0]].loops), None)
        if looping is not None and not request.options.repetition_guard:
            word = words[looping]
            words[looping + 1 :] = [replace(word, start=word.end)] * (bound - looping - 1)
        return Hypothesis(
            words=tuple(words[:bound]),
            language=request.language or self.languages[0],
            language_probability=0.98 if request.language is None and len(self.languages) > 1 else None,
            no_speech_probability=0.05 if words or request.prefix else 0.95,
            average_logprob=-0.3,
            repetitive=looping is not None and not request.options.repetition_guard,
            truncated=len(words) >= bound,
            figures=DecodeFigures(padded_ms=position_to_ms(request.padded_samples)),
        )

    def _words(self, start: int, request: DecodeRequest) -> list[HypothesisWord]:
        """The words that begin in a window, behind those of the prefix, as they read at its edge."""
        stop = start + len(request.samples)
        first = max(_first_from(self.script, start), max(request.prefix, default=-1) + 1)
        words = []
        for number in range(first, _first_from(self.script, stop)):
            word = self.script[number]
            whole = word.misheard if word.misheard and word.text.strip() not in request.keyterms else word.text
            text = next((draft for until, draft in word.drafts if stop - word.start < until), whole)
            if text:
                end = min(word.end, stop) - start
                words.append(HypothesisWord(text, word.start - start, end, word.probability, (number,)))
        return words


@dataclass(frozen=True, slots=True)
class ScriptedGate:
    """A `SpeechGateModel` whose scores are the share of each 32 ms that lies within a word of the script."""

    script: Sequence[ScriptedWord]

    @property
    def frame_samples(self) -> int:
        return _FRAME_SAMPLES

    @property
    def version(self) -> str:
        return "scripted 1"

    def scorer(self) -> ScriptedScorer:
        return ScriptedScorer(self.script)


@dataclass(slots=True)
class ScriptedScorer:
    """A `SpeechScorer` that reads from a channel's first samples where in the recording it stands, then counts.

    Audio that is no carrier scores 0.
    """

    script: Sequence[ScriptedWord]
    _head: array[float] = field(default_factory=lambda: array("f"), init=False)
    _received: int = field(default=0, init=False)
    _origin: int | None = field(default=None, init=False)
    _passed: int = field(default=0, init=False)
    """Words of the script that end before the next frame."""

    def score(self, samples: Samples) -> tuple[float, ...]:
        scored = self._received // _FRAME_SAMPLES
        if not scored and len(self._head) < WHOLE_HEADER_SAMPLES:
            self._head.extend(float(sample) for sample in samples[: WHOLE_HEADER_SAMPLES - len(self._head)])
        self._received += len(samples)
        frames = range(scored, self._received // _FRAME_SAMPLES)
        if frames and not scored:
            self._origin = position_of(self._head)
        if self._origin is None:
            return (0.0,) * len(frames)
        return tuple([self._share(self._origin + frame * _FRAME_SAMPLES) for frame in frames])

    def _share(self, start: int) -> float:
        stop = start + _FRAME_SAMPLES
        covered = 0
        for number in range(self._passed, len(self.script)):
            word = self.script[number]
            if word.start >= stop:
                break
            if word.end <= start:
                self._passed = number + 1
            else:
                covered += min(word.end, stop) - max(word.start, start)
        return covered / _FRAME_SAMPLES


def _first_from(script: Sequence[ScriptedWord], position: int) -> int:
    """The number of the first word that begins at or after a position."""
    return bisect_left(script, position, key=lambda word: word.start)
