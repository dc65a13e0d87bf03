"""The governor: which step of the ladder a load asks for, when it is taken and left, and who is let in."""

from __future__ import annotations

import pytest

from speechlane.errors import OverCapacity
from speechlane.runtime.engine_load import EngineLoad
from speechlane.runtime.governor import Governor, GovernorSettings

pytestmark = pytest.mark.unit

SETTINGS = GovernorSettings()
CALM = EngineLoad()
PARTIALS_WAIT = EngineLoad(partial_wait_ms=1_200)
FINALS_WAIT = EngineLoad(final_wait_ms=2_100, partial_wait_ms=9_000)


def drive(governor: Governor, load: EngineLoad, seconds: float, *, start: float, channels: int = 10, **options):
    """Steps in force at each half second."""
    return [governor.update(start + number / 2, load, channels, **options) for number in range(round(2 * seconds) + 1)]


def test_slow_partials_are_slowed_after_a_moment_and_no_more():
    """Partials that wait long are slowed once that has lasted; finals only is for worse."""
    steps = drive(Governor(), PARTIALS_WAIT, 30, start=0)
    assert steps[:2] == [None, None]
    assert set(steps[2:]) == {"slower_partials"}


def test_finals_that_wait_climb_step_by_step():
    """Each step is given time to show its effect; the last one is offered only where a session can move."""
    steps = drive(Governor(), FINALS_WAIT, 8, start=0, can_move=True)
    assert list(dict.fromkeys(steps)) == [None, "slower_partials", "finals_only", "offload"]
    assert steps.count("slower_partials") == steps.count("finals_only") == 2 * SETTINGS.pause_s
    assert drive(Governor(), FINALS_WAIT, 8, start=0)[-1] == "finals_only"


def test_one_slow_window_is_no_overload():
    """A single look that finds long waits changes nothing."""
    governor = Governor()
    loads = [CALM, FINALS_WAIT, CALM, CALM, FINALS_WAIT, CALM]
    assert {governor.update(at / 2, load, 1) for at, load in enumerate(loads)} == {None}


def test_a_step_is_left_only_after_the_hold():
    """Down goes one step for each hold of calm."""
    governor = Governor()
    drive(governor, FINALS_WAIT, 5, start=0)
    steps = drive(governor, CALM, 3 * SETTINGS.hold_s, start=5.5)
    assert steps[: round(2 * SETTINGS.hold_s) - 1] == ["finals_only"] * (round(2 * SETTINGS.hold_s) - 1)
    assert list(dict.fromkeys(steps)) == ["finals_only", "slower_partials", None]


def test_a_step_needed_again_is_kept_longer():
    """Partials that bring the overload back are not let loose again as soon; half the sessions gone, they are."""

    def kept(channels: int) -> float:
        governor = Governor()
        drive(governor, PARTIALS_WAIT, 2, start=0)
        drive(governor, CALM, 11, start=2.5)
        drive(governor, PARTIALS_WAIT, 2, start=14)
        return drive(governor, CALM, 60, start=16.5, channels=channels).count("slower_partials") / 2

    assert kept(10) > 1.8 * SETTINGS.hold_s
    assert kept(5) < 1.2 * SETTINGS.hold_s


def test_finals_that_wait_shut_the_door():
    """Where finals wait in spite of the ladder a session is refused, with the wait and a hint."""
    governor = Governor()
    governor.admit(0, CALM, 0, 10)
    drive(governor, FINALS_WAIT, 8, start=20)
    with pytest.raises(OverCapacity) as refused:
        governor.admit(28.5, FINALS_WAIT, 10, 1)
    assert (refused.value.code, refused.value.limit) == ("over_capacity", 1_000)
    assert refused.value.retry_after_ms == 10_000
    assert "2100 ms" in refused.value.message
    with pytest.raises(OverCapacity, match="settled text only"):
        governor.admit(29, CALM, 10, 1)
    governor.admit(39, CALM, 10, 1)


def test_the_expected_cost_of_a_session_counts_its_channels():
    """What finals take of the engine is projected to all channels: eight more are refused where one is let in."""
    load = EngineLoad(final_share=0.4)
    governor = Governor()
    governor.admit(0, CALM, 0, 8)
    governor.admit(20, load, 8, 1)
    with pytest.raises(OverCapacity, match="settled text alone"):
        governor.admit(20.5, load, 9, 8)
    Governor(workers=4).admit(20.5, load, 9, 8)


def test_sessions_just_let_in_are_counted_before_they_speak():
    """A share measured without the newcomers is projected to them too: they are not let in all at once."""
    governor = Governor()
    governor.admit(0, CALM, 0, 10)
    for count in range(10):
        governor.admit(20, EngineLoad(final_share=0.35), 10 + count, 1)
    with pytest.raises(OverCapacity, match="settled text alone"):
        governor.admit(20, EngineLoad(final_share=0.35), 20, 1)


def test_a_crowd_joins_no_faster_than_it_can_be_measured():
    """So many at once; then the number may double with each span that was measured."""
    governor = Governor()
    for count in range(SETTINGS.unmeasured_channels):
        governor.admit(0, CALM, count, 1)
    with pytest.raises(OverCapacity, match="not known yet") as refused:
        governor.admit(4, CALM, SETTINGS.unmeasured_channels, 1)
    assert refused.value.retry_after_ms == 6_000
    governor.admit(10, CALM, SETTINGS.unmeasured_channels, 8)
