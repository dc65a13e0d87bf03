"""Plain text to read: one line for each segment and speaker."""

from __future__ import annotations

import itertools

from speechlane.captions.clock import clock
from speechlane.captions.lines import label
from speechlane.captions.text import visible
from speechlane.transcript import Transcript, text_of

MEDIA_TYPE = "text/plain; charset=utf-8"


def to_plain(transcript: Transcript) -> str:
    """Lines such as ``[00:00:06.7] S1: Hello.``, the speaker only where known."""
    lines = []
    for segment in transcript.segments:
        for speaker, words in itertools.groupby(segment.words, key=lambda word: word.speaker or segment.speaker):
            spoken = tuple(words)
            text = visible(text_of(spoken))
            if text:
                lines.append(f"[{clock(spoken[0].start_ms, '.', decimals=1)}] {label(speaker)}{text}\n")
    return "".join(lines)
