"""Diarization error rate: the share of speech that was missed, invented or given to the wrong speaker.

Definition: NIST, Rich Transcription 2009 evaluation plan; overlapping speech is scored, and speakers are matched one
to one so that most of the scored speech agrees (the assignment problem, by scipy). Exact in samples.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.optimize import linear_sum_assignment

from speechlane.audio import SAMPLE_RATE
from speechlane.diarization import Turn


@dataclass(frozen=True, slots=True)
class DiarizationErrors:
    """Seconds of speech, counted once for each speaker who talks. Sums pool recordings.

    ``reference_s`` is the speech that was scored, without collars. Fractions are None where there was none.
    """

    reference_s: float = 0.0
    miss_s: float = 0.0
    false_alarm_s: float = 0.0
    confusion_s: float = 0.0

    @property
    def rate(self) -> float | None:
        return self._fraction(self.miss_s + self.false_alarm_s + self.confusion_s)

    @property
    def miss(self) -> float | None:
        return self._fraction(self.miss_s)

    @property
    def false_alarm(self) -> float | None:
        return self._fraction(self.false_alarm_s)

    @property
    def confusion(self) -> float | None:
        return self._fraction(self.confusion_s)

    def _fraction(self, seconds: float) -> float | None:
        return seconds / self.reference_s if self.reference_s else None

    def __add__(self, other: DiarizationErrors) -> DiarizationErrors:
        return DiarizationErrors(
            self.reference_s + other.reference_s,
            self.miss_s + other.miss_s,
            self.false_alarm_s + other.false_alarm_s,
            self.confusion_s + other.confusion_s,
        )


def der(
    reference: Iterable[Turn], hypothesis: Iterable[Turn], *, duration: int, collar: float = 0.0
) -> DiarizationErrors:
    """Errors of a diarization over a whole recording.

    Args:
        reference: who spoke when, in any order; turns of one speaker that overlap count once.
        hypothesis: what a diarizer found; its labels need not be those of the reference.
        duration: samples of the recording at 16 kHz; what lies behind is not scored.
        collar: seconds left out on either side of each start and end in the reference.
    """
    said, heard = _within(reference, duration), _within(hypothesis, duration)
    margin = round(collar * SAMPLE_RATE)
    unscored = [(edge - margin, edge + margin) for turn in said for edge in (turn.start, turn.end)] if margin else []
    speech = miss = false_alarm = agreeable = 0
    together: dict[tuple[str, str], int] = defaultdict(int)
    for length, speakers, found in _stretches(said, heard, unscored):
        speech += length * len(speakers)
        miss += length * max(0, len(speakers) - len(found))
        false_alarm += length * max(0, len(found) - len(speakers))
        agreeable += length * min(len(speakers), len(found))
        for pair in ((one, other) for one in speakers for other in found):
            together[pair] += length
    confusion = agreeable - _most_agreement(together)
    return DiarizationErrors(*(samples / SAMPLE_RATE for samples in (speech, miss, false_alarm, confusion)))


def _within(turns: Iterable[Turn], duration: int) -> list[Turn]:
    return [
        Turn(turn.start, min(turn.end, duration), turn.speaker)
        for turn in turns
        if turn.start < min(turn.end, duration)
    ]


def _stretches(
    said: list[Turn], heard: list[Turn], unscored: list[tuple[int, int]]
) -> Iterator[tuple[int, set[str], set[str]]]:
    """The scored stretches in which nobody starts or stops: their length and who speaks, by either side."""
    edges = {edge for turn in (*said, *heard) for edge in (turn.start, turn.end)}
    edges |= {edge for stretch in unscored for edge in stretch}
    for start, end in pairwise(sorted(edges)):
        if not any(left <= start and end <= right for left, right in unscored):
            yield end - start, _speaking(said, start), _speaking(heard, start)


def _speaking(turns: list[Turn], position: int) -> set[str]:
    return {turn.speaker for turn in turns if turn.start <= position < turn.end}


def _most_agreement(together: dict[tuple[str, str], int]) -> int:
    """The most samples on which both sides can agree when each speaker is matched with one of the other side."""
    rows = {name: index for index, name in enumerate(sorted({one for one, _ in together}))}
    columns = {name: index for index, name in enumerate(sorted({other for _, other in together}))}
    agreement = np.zeros((len(rows), len(columns)), np.int64)
    for (one, other), samples in together.items():
        agreement[rows[one], columns[other]] = samples
    return int(agreement[linear_sum_assignment(agreement, maximize=True)].sum())
