"""Diarization error rate: the share of speech that was missed, invented or given to the wrong speaker.

Definition: NIST, Rich Transcription 2009 evaluation plan; overlapping speech is scored. Computed by spy-der, which
matches speakers one to one so that most speech agrees, collars included.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from spyder.der import Turn as SpyderTurn  # type: ignore[import-untyped]  # ships no types
from spyder.der import TurnList, compute_der

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
    length = duration / SAMPLE_RATE
    # One second on which both agree, far behind the end: spy-der divides by the reference's speech.
    agreed = SpyderTurn("agreed", length + 10, length + 11 + 2 * collar)
    scored = [SpyderTurn("scored", 0.0, length), SpyderTurn("scored", length + 9, length + 12 + 2 * collar)]
    found = compute_der(
        TurnList([*_spyder_turns(reference, duration), agreed]),
        TurnList([*_spyder_turns(hypothesis, duration), agreed]),
        TurnList(scored),
        regions="all",
        collar=collar,
    )
    return DiarizationErrors(
        *(
            _seconds(value)
            for value in (
                found.duration - 1,
                found.miss * found.duration,
                found.falarm * found.duration,
                found.conf * found.duration,
            )
        )
    )


def _spyder_turns(turns: Iterable[Turn], duration: int) -> list[SpyderTurn]:
    """Turns in seconds within the recording, those of one speaker joined where they overlap or touch."""
    joined: list[Turn] = []
    for turn in sorted(turns, key=lambda turn: (turn.speaker, turn.start)):
        start, end = min(turn.start, duration), min(turn.end, duration)
        if joined and joined[-1].speaker == turn.speaker and start <= joined[-1].end:
            joined[-1] = Turn(joined[-1].start, max(joined[-1].end, end), turn.speaker)
        else:
            joined.append(Turn(start, end, turn.speaker))
    return [
        SpyderTurn(f"speaker {turn.speaker}", turn.start / SAMPLE_RATE, turn.end / SAMPLE_RATE)
        for turn in joined
        if turn.end > turn.start
    ]


def _seconds(value: float) -> float:
    """Without what floating point leaves of nothing: a microsecond is far under one sample."""
    return max(round(value, 6), 0.0)
