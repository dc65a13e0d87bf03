"""The governor under any load: it never flaps, never skips a step, and asks for no less when waits grow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechlane.live.events import LADDER
from speechlane.runtime.engine_load import EngineLoad
from speechlane.runtime.governor import Governor, GovernorSettings

pytestmark = pytest.mark.properties

SETTINGS = GovernorSettings()
WAITS = st.integers(0, 6_000)
LOADS = st.builds(EngineLoad, final_wait_ms=WAITS, partial_wait_ms=WAITS)
STRETCHES = st.lists(st.tuples(LOADS, st.integers(1, 60), st.booleans()), min_size=1, max_size=12)
RANKS = {None: 0} | {step: number + 1 for number, step in enumerate(LADDER)}


@given(STRETCHES, st.integers(0, 100))
def test_steps_change_one_by_one_and_hold(stretches, channels):
    """A step up follows another change by the pause at least; a step down by the hold at least."""
    governor = Governor()
    changed_at, before, now = float("-inf"), 0, 0.0
    for load, ticks, can_move in stretches:
        for _ in range(ticks):
            now += 0.5
            rank = RANKS[governor.update(now, load, channels, can_move=can_move)]
            if rank != before:
                assert abs(rank - before) == 1
                assert now - changed_at >= (SETTINGS.pause_s if rank > before else SETTINGS.hold_s)
                changed_at, before = now, rank


@given(LOADS, WAITS, WAITS)
def test_more_wait_never_means_a_milder_step(load, more_final, more_partial):
    """Under a lasting load the step reached is monotone in both waits."""
    worse = EngineLoad(load.final_wait_ms + more_final, load.partial_wait_ms + more_partial)
    reached = []
    for lasting in (load, worse):
        governor = Governor()
        for tick in range(40):
            governor.update(tick / 2, lasting, 10, can_move=True)
        reached.append(governor.level)
    assert reached[0] <= reached[1]


@given(LOADS)
def test_a_lasting_load_is_answered_by_one_lasting_step(load):
    """Once reached, a step stands as long as its load does."""
    governor = Governor()
    steps = [governor.update(tick / 2, load, 10) for tick in range(600)]
    assert len(set(steps[40:])) == 1
