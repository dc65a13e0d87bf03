"""Words, segments and transcripts.

Times are whole milliseconds of audio from the start of the recording or session. Unknown is None, never a guess.
``text`` is always the exact concatenation of the words' ``text``, spaces and punctuation included, so that it also
holds for languages that are written without spaces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Word:
    """One written word with its time.

    ``text`` carries its own leading space and trailing punctuation (`` ask``, `` you,``); ``confidence`` is 0..1 or
    None when the engine gives none; ``speaker`` is a label such as ``S1`` or None when unknown. ``end_ms`` is never
    before ``start_ms``.
    """

    text: str
    start_ms: int
    end_ms: int
    confidence: float | None = None
    speaker: str | None = None

    def spoken_by(self, speaker: str | None) -> Word:
        """The same word with its speaker set."""
        return replace(self, speaker=speaker)


@dataclass(frozen=True, slots=True)
class Segment:
    """A settled stretch of one channel's speech, by one speaker as far as known.

    ``number`` counts 1, 2, 3 ... in order of time within its channel; ``channel`` counts from 0. ``language`` is a
    BCP-47 tag or None. ``confidence`` is the mean of the words' confidences, or None.
    """

    channel: int
    number: int
    start_ms: int
    end_ms: int
    words: tuple[Word, ...]
    language: str | None = None
    speaker: str | None = None

    @property
    def text(self) -> str:
        return text_of(self.words)

    @property
    def confidence(self) -> float | None:
        known = [word.confidence for word in self.words if word.confidence is not None]
        return sum(known) / len(known) if known else None


@dataclass(frozen=True, slots=True)
class Transcript:
    """All segments of one recording or session, ordered by start, then channel."""

    segments: tuple[Segment, ...]
    duration_ms: int
    language: str | None = None

    @property
    def text(self) -> str:
        """The plain text, segments joined by one space where no space stands already."""
        return " ".join(segment.text.strip() for segment in self.segments if segment.words)

    @property
    def speakers(self) -> tuple[str, ...]:
        """Speaker labels in order of first appearance."""
        return tuple(dict.fromkeys(word.speaker for segment in self.segments for word in segment.words if word.speaker))


def text_of(words: Sequence[Word]) -> str:
    """The exact concatenation of the words' text."""
    return "".join(word.text for word in words)
