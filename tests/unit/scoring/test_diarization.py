"""Diarization error rate, against pyannote.metrics as the oracle."""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence

import pytest

from speechlane.diarization import Turn
from speechlane.scoring import DiarizationErrors, der

pytestmark = pytest.mark.unit

SECOND = 16_000


def turns(*spans: tuple[str, float, float]) -> list[Turn]:
    return [Turn(round(start * SECOND), round(end * SECOND), speaker) for speaker, start, end in spans]


def oracle(reference: Sequence[Turn], hypothesis: Sequence[Turn], *, duration: int, collar: float) -> dict[str, float]:
    """What pyannote.metrics finds; its collar is the whole width of what is left out around a boundary."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas and the library's own notices on import
        from pyannote.core import Annotation, Segment, Timeline
        from pyannote.metrics.diarization import DiarizationErrorRate

        def annotation(of: Sequence[Turn]) -> Annotation:
            told = Annotation()
            for number, turn in enumerate(of):
                told[Segment(turn.start / SECOND, turn.end / SECOND), number] = turn.speaker
            return told

        scored = Timeline([Segment(0, duration / SECOND)])
        metric = DiarizationErrorRate(collar=2 * collar)
        found: dict[str, float] = metric(annotation(reference), annotation(hypothesis), uem=scored, detailed=True)
    return found


def conversation(chance: random.Random, speakers: int, duration: int) -> list[Turn]:
    """Turns of a few speakers who talk over each other, each with gaps between his own."""
    found = []
    for speaker in range(speakers):
        at = chance.randrange(SECOND)
        while at < duration:
            end = at + chance.randrange(SECOND // 10, 4 * SECOND)
            found.append(Turn(at, min(end, duration), f"{'abc'[speaker]}"))
            at = end + chance.randrange(1, 6 * SECOND)
    return found


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("collar", [0.0, 0.25])
def test_agrees_with_the_oracle(seed: int, collar: float) -> None:
    """Speech, miss, false alarm and confusion are pyannote.metrics' own."""
    chance = random.Random(seed)
    duration = 20 * SECOND
    reference = conversation(chance, chance.randrange(4), duration)
    hypothesis = conversation(chance, chance.randrange(4), duration)
    ours = der(reference, hypothesis, duration=duration, collar=collar)
    theirs = oracle(reference, hypothesis, duration=duration, collar=collar)
    assert ours.reference_s == pytest.approx(theirs["total"], abs=1e-4)
    assert ours.miss_s == pytest.approx(theirs["missed detection"], abs=1e-4)
    assert ours.false_alarm_s == pytest.approx(theirs["false alarm"], abs=1e-4)
    assert ours.confusion_s == pytest.approx(theirs["confusion"], abs=1e-4)


def test_labels_do_not_matter() -> None:
    """A diarizer does not know names: the same turns under other labels are no errors."""
    reference = turns(("ann", 0, 2), ("bob", 2, 5))
    assert der(reference, turns(("S2", 0, 2), ("S1", 2, 5)), duration=5 * SECOND).rate == 0


def test_each_kind_of_error_is_a_fraction_of_the_speech() -> None:
    """Missed, invented and confused seconds over 4 s of speech, by hand."""
    found = der(
        turns(("ann", 0, 3), ("bob", 3, 4)),
        turns(("S1", 0, 2), ("S1", 3, 4), ("S1", 5, 7)),
        duration=10 * SECOND,
    )
    assert found == DiarizationErrors(reference_s=4, miss_s=1, false_alarm_s=2, confusion_s=1)
    assert (found.miss, found.false_alarm, found.confusion, found.rate) == (0.25, 0.5, 0.25, 1)


def test_a_collar_forgives_the_edges() -> None:
    """Edges within the collar are not scored, and neither is the speech there."""
    found = der(turns(("ann", 1, 3)), turns(("S1", 1.2, 3.2)), duration=5 * SECOND, collar=0.25)
    assert found == DiarizationErrors(reference_s=1.5)


def test_what_lies_behind_the_recording_is_not_scored() -> None:
    """Turns are cut at the end of the recording."""
    found = der(turns(("ann", 0, 30)), turns(("S1", 0, 2), ("S1", 20, 40)), duration=4 * SECOND)
    assert found == DiarizationErrors(reference_s=4, miss_s=2)


@pytest.mark.parametrize("duration", [0, 5 * SECOND])
def test_nothing_said_has_no_rate(duration: int) -> None:
    """Without speech in the reference there is nothing to be a fraction of; what was invented is counted."""
    found = der([], turns(("S1", 1, 3)), duration=duration)
    assert (found.rate, found.miss, found.false_alarm_s) == (None, None, 2 if duration else 0)
    assert der([], [], duration=duration) == DiarizationErrors()


def test_a_collar_may_leave_nothing_to_score() -> None:
    """A short word vanishes in its collar; what was invented elsewhere is still counted."""
    found = der(turns(("ann", 1, 1.3)), turns(("S1", 1, 1.3), ("S1", 3, 4)), duration=5 * SECOND, collar=0.25)
    assert found == DiarizationErrors(false_alarm_s=1)


def test_turns_of_one_speaker_that_overlap_count_once() -> None:
    """A reference that lists the same speech twice does not make it two people's."""
    assert der(turns(("ann", 0, 2), ("ann", 1, 3)), turns(("S1", 0, 3)), duration=5 * SECOND) == DiarizationErrors(3)


def test_sums_pool_recordings() -> None:
    """Seconds add up, so that a long recording weighs more than a short one."""
    pooled = DiarizationErrors(9, miss_s=0) + DiarizationErrors(1, miss_s=1)
    assert pooled.rate == 0.1
