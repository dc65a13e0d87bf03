"""What is kept of a decode: loops are tried again, noise is dropped, and a text that breaks off is told.

Shown several speakers with pauses between them, a small Whisper model often ends its text at one of the pauses. What
was said behind it is then missing, though the speech gate heard it.
"""

from __future__ import annotations

from dataclasses import replace

from speechlane.audio import ms_to_position
from speechlane.batch.chunking import Chunk
from speechlane.engine import Hypothesis

# Whisper's own bounds for "nothing was said" (Radford et al. 2022, section 4.5).
NO_SPEECH_PROBABILITY = 0.6
AVERAGE_LOGPROB = -1.0

UNHEARD_MS = 1_000
"""Speech without text at the end of a chunk that makes it suspect; word times may be off by less."""


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


def breaks_off_at(heard: Hypothesis, chunk: Chunk) -> int | None:
    """The position where the text ends although more than UNHEARD_MS of speech follows in the chunk; else None."""
    end = chunk.span.start + (heard.words[-1].end if heard.words else 0)
    unheard = sum(max(0, speech.end - max(speech.start, end)) for speech in chunk.speech)
    return end if unheard > ms_to_position(UNHEARD_MS) else None
