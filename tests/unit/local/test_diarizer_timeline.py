"""From windows back to one time line."""

from __future__ import annotations

import numpy as np
import pytest

from speechlane.diarization import Turn
from speechlane.local.diarizer_models import FIRST_FRAME_SAMPLE, FRAME_SAMPLES, LOCAL_SPEAKERS, WINDOW_FRAMES
from speechlane.local.diarizer_timeline import turns_of

pytestmark = pytest.mark.unit

LONG = 10**9


def silence(windows: int) -> np.ndarray:
    return np.zeros((windows, WINDOW_FRAMES, LOCAL_SPEAKERS), dtype=np.int8)


def nobody(windows: int) -> np.ndarray:
    return np.full((windows, LOCAL_SPEAKERS), -1, dtype=np.int64)


def at(frame: int) -> int:
    return FIRST_FRAME_SAMPLE + frame * FRAME_SAMPLES


def test_silence_has_no_turns() -> None:
    """Windows in which nobody talks give nothing."""
    assert turns_of(silence(3), nobody(3), step_frames=144, samples=LONG) == ()


def test_frames_become_samples() -> None:
    """A stretch of frames is a turn over their share of the audio; it ends with the recording."""
    activity, speakers = silence(1), nobody(1)
    activity[0, 10:20, 1] = 1
    speakers[0, 1] = 0
    assert turns_of(activity, speakers, step_frames=144, samples=LONG) == (Turn(at(10), at(20), "S1"),)
    assert turns_of(activity, speakers, step_frames=144, samples=at(15)) == (Turn(at(10), at(15), "S1"),)
    assert turns_of(activity, speakers, step_frames=144, samples=at(5)) == ()


def test_one_speaker_across_windows_is_one_turn() -> None:
    """A local speaker's place may differ from window to window; the turn goes on."""
    activity, speakers = silence(2), nobody(2)
    activity[0, 500:, 0] = 1
    activity[1, 500 - 144 : 500, 2] = 1
    speakers[0, 0], speakers[1, 2] = 7, 7
    assert turns_of(activity, speakers, step_frames=144, samples=LONG) == (Turn(at(500), at(644), "S1"),)


def test_speakers_are_named_as_they_are_heard() -> None:
    """S1 speaks first, whatever number the clustering gave; turns may overlap."""
    activity, speakers = silence(1), nobody(1)
    activity[0, 100:300, 0] = 1
    activity[0, 50:150, 1] = 1
    speakers[0, :2] = 0, 3
    assert turns_of(activity, speakers, step_frames=144, samples=LONG) == (
        Turn(at(50), at(150), "S1"),
        Turn(at(100), at(300), "S2"),
    )


def test_windows_vote_on_how_many_talk() -> None:
    """Where one window of four hears a second voice, the other three decide."""
    activity, speakers = silence(4), nobody(4)
    for index in range(4):
        activity[index, 450 - 144 * index : 460 - 144 * index, 0] = 1
        speakers[index, 0] = 0
    activity[3, 450 - 3 * 144 : 460 - 3 * 144, 1] = 1
    speakers[3, 1] = 1
    assert turns_of(activity, speakers, step_frames=144, samples=LONG) == (Turn(at(450), at(460), "S1"),)


def test_windows_vote_on_who_talks() -> None:
    """Where windows give a frame to different speakers, most of them win."""
    activity, speakers = silence(3), nobody(3)
    for index in range(3):
        activity[index, 450 - 144 * index : 460 - 144 * index, 0] = 1
    speakers[:, 0] = 0, 1, 1
    activity[0, 0:5, 1] = 1
    speakers[0, 1] = 1
    assert turns_of(activity, speakers, step_frames=144, samples=LONG) == (
        Turn(at(0), at(5), "S1"),
        Turn(at(450), at(460), "S1"),
    )


def test_a_voice_of_nobody_makes_no_turn() -> None:
    """A local speaker too short to be recognised is heard but has no turn."""
    activity = silence(1)
    activity[0, 10:13, 0] = 1
    assert turns_of(activity, nobody(1), step_frames=144, samples=LONG) == ()
