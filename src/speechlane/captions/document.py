"""The transcript as a JSON document, schema ``speechlane.transcript/1``, out and in.

```
{schema, duration_ms, language, speakers: [label],
 segments: [{channel, segment, speaker, start_ms, end_ms, text, language, confidence,
             words: [{text, start_ms, end_ms, confidence, speaker}]}]}
```

Times are whole milliseconds; unknown is null. ``text``, a segment's ``confidence`` and ``speakers`` follow from the
words and are written for readers' convenience.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

from speechlane.errors import InvalidInput
from speechlane.transcript import Segment, Transcript, Word

MEDIA_TYPE = "application/json"
SCHEMA = "speechlane.transcript/1"

_T = TypeVar("_T")


def transcript_to_dict(transcript: Transcript) -> dict[str, Any]:
    """The document as JSON values."""
    return {
        "schema": SCHEMA,
        "duration_ms": transcript.duration_ms,
        "language": transcript.language,
        "speakers": list(transcript.speakers),
        "segments": [segment_to_dict(segment) for segment in transcript.segments],
    }


def transcript_from_dict(document: Any) -> Transcript:
    """The transcript of a document; ``transcript_from_dict(transcript_to_dict(t)) == t``.

    Raises:
        InvalidInput: ``invalid_transcript``; the field is the path of the value at fault, e.g.
            ``segments[2].words[0].end_ms``.
    """
    root = _Value(document, "")
    root.only("schema", "duration_ms", "language", "speakers", "segments")
    if root.get("schema").raw != SCHEMA:
        raise _invalid("schema", f"is {root.get('schema').raw!r}; this program reads {SCHEMA!r}")
    return Transcript(
        segments=root.get("segments").items(_segment),
        duration_ms=root.get("duration_ms").count(),
        language=root.get("language").optional(_Value.text),
    )


def segment_to_dict(segment: Segment) -> dict[str, Any]:
    """A segment under its wire names, which the live lane's ``caption.final`` shares."""
    return {
        "channel": segment.channel,
        "segment": segment.number,
        "speaker": segment.speaker,
        "start_ms": segment.start_ms,
        "end_ms": segment.end_ms,
        "text": segment.text,
        "language": segment.language,
        "confidence": segment.confidence,
        "words": [asdict(word) for word in segment.words],
    }


class _Value:
    """A JSON value and its path in the document, to read strictly."""

    def __init__(self, raw: Any, path: str) -> None:
        self.raw = raw
        self.path = path

    def only(self, *names: str) -> None:
        """Refuse what is no object, and fields that are not known."""
        if not isinstance(self.raw, dict):
            raise _invalid(self.path, "must be an object")
        unknown = sorted(str(name) for name in self.raw if name not in names)
        if unknown:
            raise _invalid(self._path_of(unknown[0]), f"is not known; the fields here are {', '.join(names)}")

    def get(self, name: str) -> _Value:
        if name not in self.raw:
            raise _invalid(self._path_of(name), "is missing")
        return _Value(self.raw[name], self._path_of(name))

    def items(self, read: Callable[[_Value], _T]) -> tuple[_T, ...]:
        if not isinstance(self.raw, list):
            raise _invalid(self.path, "must be a list")
        return tuple(read(_Value(item, f"{self.path}[{index}]")) for index, item in enumerate(self.raw))

    def optional(self, read: Callable[[_Value], _T]) -> _T | None:
        return None if self.raw is None else read(self)

    def text(self) -> str:
        if not isinstance(self.raw, str):
            raise _invalid(self.path, "must be text")
        return self.raw

    def count(self) -> int:
        if type(self.raw) is not int or self.raw < 0:
            raise _invalid(self.path, f"is {self.raw!r}; it must be a whole number of at least 0")
        return self.raw

    def fraction(self) -> float:
        if type(self.raw) not in {int, float} or not 0 <= self.raw <= 1:
            raise _invalid(self.path, f"is {self.raw!r}; it must be a number from 0 to 1, or null")
        return float(self.raw)

    def span(self) -> tuple[int, int]:
        start, end = self.get("start_ms").count(), self.get("end_ms").count()
        if end < start:
            raise _invalid(self._path_of("end_ms"), f"is {end}, before start_ms {start}")
        return start, end

    def _path_of(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name


def _segment(value: _Value) -> Segment:
    value.only("channel", "segment", "speaker", "start_ms", "end_ms", "text", "language", "confidence", "words")
    start_ms, end_ms = value.span()
    segment = Segment(
        channel=value.get("channel").count(),
        number=value.get("segment").count(),
        start_ms=start_ms,
        end_ms=end_ms,
        words=value.get("words").items(_word),
        language=value.get("language").optional(_Value.text),
        speaker=value.get("speaker").optional(_Value.text),
    )
    # An edit of the text alone would be lost in silence.
    if value.get("text").text() != segment.text:
        raise _invalid(f"{value.path}.text", "is not the exact concatenation of its words' text; edit the words")
    return segment


def _word(value: _Value) -> Word:
    value.only("text", "start_ms", "end_ms", "confidence", "speaker")
    start_ms, end_ms = value.span()
    return Word(
        text=value.get("text").text(),
        start_ms=start_ms,
        end_ms=end_ms,
        confidence=value.get("confidence").optional(_Value.fraction),
        speaker=value.get("speaker").optional(_Value.text),
    )


def _invalid(path: str, fact: str) -> InvalidInput:
    field = path or "transcript"
    return InvalidInput("invalid_transcript", f"{field} {fact}. Correct it and send the document again.", field=field)
