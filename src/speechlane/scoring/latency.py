"""How late live captions are, how often they change their mind, and what they lose.

Definitions. A reader sees views: at a moment, the settled words (stable or final) and behind them the open ones, which
may still change. The *lag* of a word is the moment at which it is first shown, or settled, minus its end in the audio.
Word ends come from a reference run of the same model over the same audio, and words are matched with that run's by
edit distance. A *revised* word was shown and is at the next view no longer at its place.

Times are seconds from the moment at which the first sample was spoken.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import jiwer
import numpy as np

# Ends of the two texts that match nothing: with them jiwer cannot fix a common last word first, and so finds, among
# alignments with as few edits, the one whose matches lie earliest.
_REFERENCE_END, _HEARD_END = "\N{GREEK CAPITAL LETTER DELTA}", "\N{GREEK CAPITAL LETTER LAMDA}"


@dataclass(frozen=True, slots=True)
class ReferenceWord:
    """A word of the reference run and when it is spoken."""

    text: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class View:
    """The whole text that a reader sees at a moment, word by word as written."""

    at: float
    settled: tuple[str, ...]
    open: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        return self.settled + self.open


@dataclass(frozen=True, slots=True)
class LagFigures:
    """A distribution of lags in seconds; all but the count None where there were none."""

    count: int
    mean: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None


def lag_figures(lags: Sequence[float]) -> LagFigures:
    """Mean and percentiles (linear between the two nearest)."""
    if not lags:
        return LagFigures(0)
    p50, p90, p95, p99 = (float(value) for value in np.percentile(lags, (50, 90, 95, 99)))
    return LagFigures(len(lags), float(np.mean(lags)), p50, p90, p95, p99)


def fold(text: str) -> str:
    """A word as it is matched: letters and digits in lower case; ``-`` for a word without any."""
    return "".join(letter for letter in text.casefold() if letter.isalnum()) or "-"


def matched(reference: Sequence[str], heard: Sequence[str]) -> list[tuple[int, int]]:
    """Places (reference, heard) of the words that agree where the edits are fewest, and of those the earliest."""
    if not reference or not heard:
        return []
    output = jiwer.process_words(
        " ".join([*map(fold, reference), _REFERENCE_END]), " ".join([*map(fold, heard), _HEARD_END])
    )
    return [
        (chunk.ref_start_idx + offset, chunk.hyp_start_idx + offset)
        for chunk in output.alignments[0]
        if chunk.type == "equal"
        for offset in range(chunk.ref_end_idx - chunk.ref_start_idx)
    ]


def first_shown_lags(reference: Sequence[ReferenceWord], views: Iterable[View]) -> list[float]:
    """From each reference word's end to the first view that shows it, settled or open; words never shown left out.

    A view is matched with the words that had begun to be spoken by then: nothing can show a word before.
    """
    shown: dict[int, float] = {}
    for view in views:
        begun = [word.text for word in reference if word.start <= view.at]
        for place, _ in matched(begun, view.words):
            shown.setdefault(place, view.at)
    return [at - reference[place].end for place, at in sorted(shown.items())]


def settled_lags(reference: Sequence[ReferenceWord], views: Sequence[View]) -> list[float]:
    """From each reference word's end to the view since which the settled text held it until the last."""
    words, moments = _settled_moments(views)
    return [moments[there] - reference[here].end for here, there in matched([w.text for w in reference], words)]


def _settled_moments(views: Sequence[View]) -> tuple[Sequence[str], list[float]]:
    """The last view's settled words, and for each the moment it was settled.

    Text that only grows keeps its moments; a server that rewrites settled text keeps those of the words that stayed.
    """
    words: Sequence[str] = ()
    moments: list[float] = []
    for view in views:
        if view.settled[: len(words)] == words:
            moments += [view.at] * (len(view.settled) - len(words))
        else:
            kept = {there: moments[here] for here, there in matched(words, view.settled)}
            moments = [kept.get(place, view.at) for place in range(len(view.settled))]
        words = view.settled
    return words, moments


def revised_words(views: Iterable[View]) -> int:
    """How often a word that was shown, as it was written, was at the next view no longer at its place."""
    return sum(
        len(before.words) - sum(old == new for old, new in zip(before.words, after.words, strict=False))
        for before, after in pairwise(views)
    )


def taken_back(views: Iterable[View]) -> int:
    """Settled words that the next view had otherwise or no more; guarantee 1 says there are none."""
    return sum(
        len(before.settled) - sum(old == new for old, new in zip(before.settled, after.settled, strict=False))
        for before, after in pairwise(views)
    )


@dataclass(frozen=True, slots=True)
class Losses:
    """What one session lacks of what the same audio gave alone: words right alone with nothing, or another, there."""

    lost: int
    replaced: int


def losses(reference: Sequence[str], alone: Sequence[str], together: Sequence[str]) -> Losses:
    """Compare two texts of one audio, over the words that ``alone`` has right by the reference."""
    right = {there for _, there in matched(reference, alone)}
    if not together:
        return Losses(len(right), 0)
    output = jiwer.process_words(" ".join(map(fold, alone)) or "-", " ".join(map(fold, together)))
    counts = {"delete": 0, "substitute": 0}
    for chunk in output.alignments[0]:
        if chunk.type in counts:
            counts[chunk.type] += len(right.intersection(range(chunk.ref_start_idx, chunk.ref_end_idx)))
    return Losses(counts["delete"], counts["substitute"])
