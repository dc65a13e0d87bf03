"""From what was heard in each chunk to the segments of one transcript."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from speechlane.audio import position_to_ms
from speechlane.batch.chunking import ChunkSpan
from speechlane.engine import Hypothesis
from speechlane.provenance import ChunkRecord
from speechlane.transcript import Segment, Transcript, Word

# Ends of sentences in the scripts that Whisper writes (ellipsis; ideographic, full-width, Arabic and Devanagari marks);
# closing quotes and brackets may follow.
_SENTENCE_END = re.compile(r"""[.!?\u2026\u3002\uff01\uff1f\u061f\u0964]['"\u201d\u2019)\]\u00bb]*$""")
_ABBREVIATION = re.compile(r"^(Mr|Mrs|Ms|Dr|St|Prof|Jr|Sr|vs|etc|[A-Z])\.$")


@dataclass(frozen=True, slots=True)
class SegmentRules:
    """Where segments end: after a sentence, at a pause, at a change of speaker, and at a length."""

    pause_ms: int = 800
    max_ms: int = 15_000


@dataclass(frozen=True, slots=True)
class ChunkText:
    """What was heard in one chunk: its words at their times in the recording, and the record behind them.

    ``record`` is not yet sealed: its place in the chain is known when the chunk before it is stored.
    """

    index: int
    words: tuple[Word, ...]
    language: str | None
    record: ChunkRecord

    def as_fields(self) -> dict[str, Any]:
        """JSON values; `from_fields` reads them back."""
        return {
            "index": self.index,
            "words": [[word.text, word.start_ms, word.end_ms, word.confidence] for word in self.words],
            "language": self.language,
            "record": self.record.as_fields(),
        }

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> ChunkText:
        return cls(
            index=fields["index"],
            words=tuple(Word(*word) for word in fields["words"]),
            language=fields["language"],
            record=ChunkRecord.from_fields(fields["record"]),
        )


def words_of(heard: Hypothesis, span: ChunkSpan) -> tuple[Word, ...]:
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


def language_of(chunks: Iterable[ChunkText]) -> str | None:
    """The language that most words were heard in, None where nothing was heard."""
    counts: Counter[str] = Counter()
    for chunk in chunks:
        if chunk.language is not None and chunk.words:
            counts[chunk.language] += len(chunk.words)
    return counts.most_common(1)[0][0] if counts else None


def merge(
    chunks: Sequence[ChunkText],
    speakers: Sequence[str | None],
    duration_ms: int,
    rules: SegmentRules | None = None,
) -> Transcript:
    """The transcript of a recording from its chunks in order.

    Args:
        chunks: in order of index.
        speakers: who spoke each word of all chunks in order; as many as there are words.
        duration_ms: length of the recording.
        rules: where segments end; the defaults when None.
    """
    rules = rules or SegmentRules()
    said: list[tuple[Word, str | None]] = []  # each word with its language
    for chunk in chunks:
        said += ((word, chunk.language) for word in chunk.words)
    segments: list[Segment] = []
    current: list[Word] = []
    languages: Counter[str | None] = Counter()
    for (word, language), speaker in zip(said, speakers, strict=True):
        if current and _ends(current, word, speaker, rules):
            segments.append(_segment(current, len(segments) + 1, languages))
            current, languages = [], Counter()
        current.append(word.spoken_by(speaker))
        languages[language] += 1
    if current:
        segments.append(_segment(current, len(segments) + 1, languages))
    return Transcript(segments=tuple(segments), duration_ms=duration_ms, language=language_of(chunks))


def _ends(current: Sequence[Word], following: Word, speaker: str | None, rules: SegmentRules) -> bool:
    last = current[-1]
    text = last.text.strip()
    return (
        last.speaker != speaker
        or following.start_ms - last.end_ms >= rules.pause_ms
        or following.end_ms - current[0].start_ms > rules.max_ms
        or (_SENTENCE_END.search(text) is not None and _ABBREVIATION.match(text) is None)
    )


def _segment(words: Sequence[Word], number: int, languages: Counter[str | None]) -> Segment:
    return Segment(
        channel=0,
        number=number,
        start_ms=words[0].start_ms,
        end_ms=words[-1].end_ms,
        words=tuple(words),
        language=languages.most_common(1)[0][0],
        speaker=words[0].speaker,
    )
