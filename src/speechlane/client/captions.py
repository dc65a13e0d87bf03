"""Captions put together from messages: what stands, what is in the making, and the text so far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

Word = dict[str, Any]
"""A word of a caption, as section 1 of docs/protocol.md names its fields; texts include their spaces."""

_Key = tuple[int, int]  # channel, segment


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """One segment as it stands now.

    ``stable_text`` only grows until the caption is ``final``; ``unstable_text`` may still change, and is empty in a
    final. Times are whole milliseconds of audio.
    """

    channel: int
    segment: int
    start_ms: int
    end_ms: int
    stable_text: str
    unstable_text: str
    final: bool
    speaker: str | None
    language: str | None
    words: tuple[Word, ...]

    @classmethod
    def of(cls, message: Mapping[str, Any]) -> Caption:
        """The caption that a ``caption.partial`` or ``caption.final`` message shows, or a segment of a transcript."""
        return cls(
            channel=message.get("channel") or 0,
            segment=message.get("segment") or 0,
            start_ms=message["start_ms"],
            end_ms=message["end_ms"],
            stable_text=message["stable_text"] if "stable_text" in message else message["text"],
            unstable_text=message.get("unstable_text", ""),
            final="text" in message,
            speaker=message.get("speaker"),
            language=message.get("language"),
            words=tuple(message.get("words") or ()),
        )

    @property
    def text(self) -> str:
        """All of it, as it would be drawn."""
        return self.stable_text + self.unstable_text


class CaptionBoard:
    """Turns messages into captions, of all channels: give it every message in order of arrival.

    What was shown is never taken back by a message that came late or twice, as a resumed session's may.
    """

    def __init__(self) -> None:
        self._open: dict[_Key, Caption] = {}
        self._settled: dict[_Key, Caption] = {}
        self._revisions: dict[_Key, int] = {}

    def take(self, message: Mapping[str, Any]) -> Caption | None:
        """The caption that this message shows or changes; None when it changes none."""
        match message["type"]:
            case "caption.partial":
                return self._partial(message)
            case "caption.final":
                return self._final(message)
            case "caption.speaker":
                return self._speaker(message)
            case "session.resumed":
                self._revisions.clear()  # a server that was restarted counts anew
        return None

    @property
    def settled(self) -> list[Caption]:
        """Final captions with text, in order of time."""
        return sorted((caption for caption in self._settled.values() if caption.text), key=_order)

    @property
    def open(self) -> list[Caption]:
        """Captions in the making, in order of time; at most one of a channel."""
        return sorted(self._open.values(), key=_order)

    @property
    def text(self) -> str:
        """All that was said so far, one caption a line, the ones in the making last."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        for caption in [*self.settled, *self.open]:
            if caption.text.strip():
                yield caption.text.strip()

    def _partial(self, message: Mapping[str, Any]) -> Caption | None:
        key = _key(message)
        if key in self._settled or message["revision"] <= self._revisions.get(key, -1):
            return None
        self._revisions[key] = message["revision"]
        caption = self._open[key] = Caption.of(message)
        return caption

    def _final(self, message: Mapping[str, Any]) -> Caption | None:
        key = _key(message)
        if key in self._settled:
            return None
        self._open.pop(key, None)
        self._revisions.pop(key, None)
        caption = self._settled[key] = Caption.of(message)
        return caption

    def _speaker(self, message: Mapping[str, Any]) -> Caption | None:
        key = _key(message)
        known = self._settled.get(key)
        if known is None:
            return None
        begin, end = message["words"]
        words = tuple(
            {**word, "speaker": message["speaker"]} if begin <= number < end else word
            for number, word in enumerate(known.words)
        )
        speakers = {word.get("speaker") for word in words}
        speaker = speakers.pop() if len(speakers) == 1 else known.speaker
        caption = self._settled[key] = replace(known, words=words, speaker=speaker)
        return caption


def _key(message: Mapping[str, Any]) -> _Key:
    return message["channel"], message["segment"]


def _order(caption: Caption) -> tuple[int, int, int]:
    return caption.start_ms, caption.channel, caption.segment
