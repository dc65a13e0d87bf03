"""From what was heard in each chunk to the segments of one transcript."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from speechlane.audio import position_to_ms
from speechlane.batch.chunking import Span
from speechlane.captions.text import ends_sentence
from speechlane.engine import Hypothesis
from speechlane.provenance import ChunkRecord
from speechlane.transcript import Segment, Transcript, Word


@dataclass(frozen=True, slots=True)
class SegmentRules:
    """Where segments end: after a sentence, at a pause, at a change of speaker, and at a length."""

    pause_ms: int = 800
    max_ms: int = 15_000


@dataclass(frozen=True, slots=True)
class HeardPart:
    """What one decode heard: its words at their times in the recording, and the record behind them.

    The record is not yet sealed, and its number not final: both follow from what is recorded before it.
    """

    words: tuple[Word, ...]
    language: str | None
    record: ChunkRecord


@dataclass(frozen=True, slots=True)
class ChunkText:
    """The text of one planned chunk, in as many parts as it took: one, or more where it had to be cut again."""

    index: int
    parts: tuple[HeardPart, ...]

    def as_fields(self) -> dict[str, Any]:
        """JSON values; `from_fields` reads them back."""
        return {
            "index": self.index,
            "parts": [
                {
                    "words": [[word.text, word.start_ms, word.end_ms, word.confidence] for word in part.words],
                    "language": part.language,
                    "record": part.record.as_fields(),
                }
                for part in self.parts
            ],
        }

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> ChunkText:
        return cls(
            index=fields["index"],
            parts=tuple(
                HeardPart(
                    words=tuple(Word(*word) for word in part["words"]),
                    language=part["language"],
                    record=ChunkRecord.from_fields(part["record"]),
                )
                for part in fields["parts"]
            ),
        )


def words_of(heard: Hypothesis, span: Span) -> tuple[Word, ...]:
    """A chunk's words at their times in the recording, in whole milliseconds."""
    return tuple(
        Word(
            word.text,
            position_to_ms(span.start + word.start),
            position_to_ms(span.start + word.end),
            word.probability,
        )
        for word in heard.words
    )


def parts_of(chunks: Iterable[ChunkText]) -> list[HeardPart]:
    """All parts of chunks in order."""
    return [part for chunk in chunks for part in chunk.parts]


def language_of(parts: Iterable[HeardPart]) -> str | None:
    """The language that most words were heard in, None where nothing was heard."""
    counts: Counter[str] = Counter()
    for part in parts:
        if part.language is not None and part.words:
            counts[part.language] += len(part.words)
    return counts.most_common(1)[0][0] if counts else None


def merge(
    parts: Sequence[HeardPart],
    words: Sequence[Word],
    duration_ms: int,
    rules: SegmentRules | None = None,
) -> Transcript:
    """The transcript of a recording from all that was heard of it.

    Args:
        parts: in order.
        words: the words of all parts in order, with their speakers.
        duration_ms: length of the recording.
        rules: where segments end; the defaults when None.
    """
    rules = rules or SegmentRules()
    languages = [part.language for part in parts for _ in part.words]
    segments: list[Segment] = []
    current: list[Word] = []
    spoken_in: Counter[str | None] = Counter()
    for word, language in zip(words, languages, strict=True):
        if current and _ends(current, word, rules):
            segments.append(_segment(current, len(segments) + 1, spoken_in))
            current, spoken_in = [], Counter()
        current.append(word)
        spoken_in[language] += 1
    if current:
        segments.append(_segment(current, len(segments) + 1, spoken_in))
    return Transcript(segments=tuple(segments), duration_ms=duration_ms, language=language_of(parts))


def _ends(current: Sequence[Word], following: Word, rules: SegmentRules) -> bool:
    last = current[-1]
    return (
        last.speaker != following.speaker
        or following.start_ms - last.end_ms >= rules.pause_ms
        or following.end_ms - current[0].start_ms > rules.max_ms
        or ends_sentence(last.text)
    )


def _segment(words: Sequence[Word], number: int, spoken_in: Counter[str | None]) -> Segment:
    return Segment(
        channel=0,
        number=number,
        start_ms=words[0].start_ms,
        end_ms=words[-1].end_ms,
        words=tuple(words),
        language=spoken_in.most_common(1)[0][0],
        speaker=words[0].speaker,
    )
