"""What of an engine's answer can be used: the one place where answers that must be decoded otherwise are told apart."""

from __future__ import annotations

from speechlane.engine import HypothesisWord
from speechlane.live.actions import Decode
from speechlane.live.events import HypothesisReceived
from speechlane.live.segment import OpenSegment


def usable(
    segment: OpenSegment, ask: Decode, event: HypothesisReceived, endpointing_ms: int, *, whole: bool
) -> tuple[HypothesisWord, ...] | None:
    """The words that an answer holds behind the stable ones; None for one to be decoded otherwise.

    A loop is neither shown nor settled nor fed back; nor is an answer that its context has silenced, that ends long
    before the speech does, or that skips some: within a segment no pause is as long as an endpoint's.
    """
    if (event.hypothesis.repetitive or event.hypothesis.truncated) and not ask.options.repetition_guard:
        segment.loops += 1
        return None
    words = segment.behind_stable(segment.heard(event))
    skips = segment.skips(words, endpointing_ms)
    if segment.misses_speech(words, whole=whole) or (skips and segment.context):
        segment.go_cold()
        return None
    if ask.padded < segment.policy.padding[-1] and (skips or (whole and segment.cut_short(words))):
        segment.loops += 1
        return None
    segment.loops = 0
    return words
