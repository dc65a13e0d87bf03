"""What one decode sees, and how it is to be decoded."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from speechlane.engine import DecodeOptions, HypothesisWord
from speechlane.live.config import LivePolicy
from speechlane.live.segment import OpenSegment

_GUARDED = 2  # answers in a row that could not be used after which repetition is forbidden


def window_end(segment: OpenSegment, heard: int, policy: LivePolicy) -> int:
    """Where the next window of a segment ends, of which sound up to ``heard`` is here."""
    return min(heard if segment.end is None else segment.end, segment.window_start + policy.max_window)


def how_to_decode(
    segment: OpenSegment, window: int, policy: LivePolicy, *, going_on: bool
) -> tuple[int, DecodeOptions]:
    """The padded length and the options for a window of so many samples; ``going_on``: it ends amid speech.

    More silence behind the window ends most loops; the guard, which bends the text, is the last means.
    """
    padded = policy.padding[-1] if segment.loops else policy.padded(window, going_on=going_on)
    guarded = segment.loops >= _GUARDED
    return padded, DecodeOptions(repetition_guard=guarded, max_tokens=policy.max_tokens(window))


def context_before(start: int, settled: deque[HypothesisWord], policy: LivePolicy) -> list[HypothesisWord]:
    """The settled words shortly before position ``start``; older ones are dropped from ``settled``."""
    while settled and (settled[0].start < start - policy.context or _tokens(settled) > policy.context_tokens):
        settled.popleft()
    return [word for word in settled if word.tokens]


def _tokens(words: Iterable[HypothesisWord]) -> int:
    return sum(len(word.tokens) for word in words)
