"""Voices -> speakers -> turns under any input."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlane.diarization import SpeakerBounds
from speechlane.local.clustering import cluster_voices
from speechlane.local.diarizer_models import LOCAL_SPEAKERS, WINDOW_FRAMES
from speechlane.local.diarizer_timeline import turns_of

pytestmark = pytest.mark.properties

STEP = 144


@given(
    seed=st.integers(0, 2**32 - 1),
    per_window=st.lists(st.integers(1, LOCAL_SPEAKERS), min_size=1, max_size=12),
    dimensions=st.integers(2, 5),
    low=st.none() | st.integers(1, 4),
    more=st.none() | st.integers(0, 4),
    smallest=st.integers(1, 3),
)
@settings(deadline=None)
def test_voices_of_a_window_are_not_one_speaker_without_need(
    seed: int, per_window: list[int], dimensions: int, low: int | None, more: int | None, smallest: int
) -> None:
    """Every voice has a speaker; bounds hold as far as there are voices; a window's voices share speakers only when it
    has more voices than the recording has speakers.
    """
    chance = np.random.default_rng(seed)
    windows = np.repeat(np.arange(len(per_window)), per_window)
    vectors = chance.standard_normal((len(windows), dimensions)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    high = None if more is None else (low or 1) + more
    labels = cluster_voices(
        vectors,
        windows,
        chance.random(len(windows)) < 0.7,
        SpeakerBounds(minimum=low, maximum=high),
        threshold=0.45,
        smallest=smallest,
    )
    assert labels.shape == windows.shape
    assert labels.min() >= 0
    assert high is None or labels.max() < high
    speakers = int(labels.max()) + 1
    for window in set(windows.tolist()):
        here = labels[windows == window]
        assert len(set(here.tolist())) >= min(len(here), speakers)


@given(seed=st.integers(0, 2**32 - 1), windows=st.integers(1, 6), speakers=st.integers(1, 4), cut=st.integers(0, 400))
@settings(deadline=None)
def test_turns_are_ordered_named_and_inside(seed: int, windows: int, speakers: int, cut: int) -> None:
    """Whatever the windows claim, turns lie in the recording, in order, and nobody has two at a time."""
    chance = np.random.default_rng(seed)
    activity = np.repeat(chance.integers(0, 2, (windows, 31, LOCAL_SPEAKERS)), 19, axis=1).astype(np.int8)
    known = chance.integers(-1, speakers, (windows, LOCAL_SPEAKERS))
    samples = 270 * (WINDOW_FRAMES + (windows - 1) * STEP) - 270 * cut
    turns = turns_of(activity[:, :WINDOW_FRAMES], known, step_frames=STEP, samples=samples)
    assert all(0 <= turn.start < turn.end <= samples for turn in turns)
    assert list(turns) == sorted(turns, key=lambda turn: turn.start)
    names = list(dict.fromkeys(turn.speaker for turn in turns))
    assert names == [f"S{number}" for number in range(1, len(names) + 1)]
    for name in names:
        own = [turn for turn in turns if turn.speaker == name]
        assert all(earlier.end < later.start for earlier, later in pairwise(own))
