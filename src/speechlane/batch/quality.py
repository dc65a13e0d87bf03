"""What is kept of a decode: loops are decoded once more, text heard in noise is dropped."""

from __future__ import annotations

from dataclasses import replace

from speechlane.engine import Hypothesis

# Whisper's own bounds for "nothing was said" (Radford et al. 2022, section 4.5).
NO_SPEECH_PROBABILITY = 0.6
AVERAGE_LOGPROB = -1.0


def needs_second_try(first: Hypothesis) -> bool:
    """A text that loops is decoded once more with the repetition guard."""
    return first.repetitive


def better_of(first: Hypothesis, second: Hypothesis) -> Hypothesis:
    """The second try of a loop, unless it came back empty; then the first, which heard something at least."""
    return second if second.words or not first.words else first


def without_noise(heard: Hypothesis) -> Hypothesis:
    """The hypothesis, emptied where the model itself holds that nobody spoke and is unsure of its words."""
    no_speech, logprob = heard.no_speech_probability, heard.average_logprob
    if no_speech is None or logprob is None:
        return heard
    return replace(heard, words=()) if no_speech > NO_SPEECH_PROBABILITY and logprob < AVERAGE_LOGPROB else heard
