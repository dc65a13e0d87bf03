"""Gaps and jumps of timestamps."""

from fractions import Fraction

import av
import pytest

from speechlane.media.timeline import MAX_GAP_S, Timeline

pytestmark = pytest.mark.unit


def frame(at_s):
    item = av.AudioFrame("s16", "mono", 160)
    if at_s is not None:
        item.pts, item.time_base = round(at_s * 1000), Fraction(1, 1000)
    return item


@pytest.mark.parametrize("offset", [0, 0.05, -0.05, 0.1, -0.1])
def test_small_differences_are_left_alone(offset):
    """Rounding and drift up to a tenth of a second change nothing."""
    timeline = Timeline(start_s=0)
    timeline.end_s = 5.0
    assert timeline.gap_before(frame(5.0 + offset)) == 0
    assert (timeline.filled_s, timeline.jumps) == (0, 0)


def test_a_gap_is_measured_and_counted():
    """A gap is the time between the end of what is there and the next frame."""
    timeline = Timeline(start_s=0)
    timeline.end_s = 5.0
    assert timeline.gap_before(frame(7.5)) == pytest.approx(2.5)
    assert timeline.filled_s == pytest.approx(2.5)


def test_time_counts_from_the_start_of_the_presentation():
    """A container whose first timestamp is hours in begins at 0."""
    timeline = Timeline(start_s=36_000)
    assert timeline.gap_before(frame(36_000)) == 0
    assert timeline.gap_before(frame(36_001)) == pytest.approx(1)


@pytest.mark.parametrize("to", [0.0, 5.0 + MAX_GAP_S + 1, 90_000.0])
def test_a_jump_sets_a_new_start(to):
    """A step back, or too far ahead, adds no silence, and what follows is measured from there."""
    timeline = Timeline(start_s=0)
    timeline.end_s = 5.0
    assert timeline.gap_before(frame(to)) == 0
    assert timeline.jumps == 1
    timeline.end_s = 6.0
    assert timeline.gap_before(frame(to + 1)) == 0
    assert timeline.gap_before(frame(to + 3)) == pytest.approx(2)


def test_frames_without_timestamps_follow_one_another():
    """Where a container gives no times there are no gaps."""
    timeline = Timeline(start_s=0)
    timeline.end_s = 5.0
    assert timeline.gap_before(frame(None)) == 0
