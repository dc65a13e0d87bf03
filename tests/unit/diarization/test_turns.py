"""What may be asked about the number of speakers."""

from __future__ import annotations

import pytest

from speechlane.diarization import SpeakerBounds
from speechlane.errors import InvalidInput

pytestmark = pytest.mark.unit


def test_nothing_need_be_known() -> None:
    """Unknown, exact and bounded numbers of speakers are all fine."""
    assert SpeakerBounds() == SpeakerBounds(None, None, None)
    assert SpeakerBounds(speakers=2).speakers == 2
    assert SpeakerBounds(minimum=2, maximum=2).maximum == 2


@pytest.mark.parametrize(
    ("bounds", "field"),
    [
        ({"speakers": 0}, "diarize.speakers"),
        ({"minimum": 0}, "diarize.min"),
        ({"maximum": -1}, "diarize.max"),
        ({"minimum": 3, "maximum": 2}, "diarize"),
        ({"speakers": 2, "maximum": 3}, "diarize"),
        ({"speakers": 2, "minimum": 1}, "diarize"),
    ],
)
def test_contradictions_are_refused(bounds: dict[str, int], field: str) -> None:
    """A number under one, or bounds that contradict each other, are refused by name."""
    with pytest.raises(InvalidInput) as refused:
        SpeakerBounds(**bounds)
    assert (refused.value.code, refused.value.field) == ("invalid_speakers", field)
