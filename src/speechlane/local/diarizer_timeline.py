"""From the windows' local speakers back to one time line: who talks in each frame, as turns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from speechlane.diarization import Turn
from speechlane.local.diarizer_models import FIRST_FRAME_SAMPLE, FRAME_SAMPLES, LOCAL_SPEAKERS, WINDOW_FRAMES, Activity


def turns_of(activity: Activity, speakers: NDArray[np.int64], *, step_frames: int, samples: int) -> tuple[Turn, ...]:
    """Turns ordered by start, speakers named ``S1``, ``S2`` ... in order of first speech.

    Overlapping windows vote: as many speakers talk in a frame as the windows find on average, and they are the ones
    whom most windows find there.

    Args:
        activity: shape (windows, WINDOW_FRAMES, LOCAL_SPEAKERS).
        speakers: shape (windows, LOCAL_SPEAKERS), the speaker of each local speaker, -1 where there is none.
        step_frames: frames from one window to the next.
        samples: length of the recording; turns end with it.
    """
    talking = _talking(activity, speakers, step_frames)
    spans = [
        (start, end, speaker)
        for speaker in range(talking.shape[1])
        for start, end in _runs(talking[:, speaker], samples)
    ]
    spans.sort()
    names: dict[int, str] = {}
    for _, _, speaker in spans:
        names.setdefault(speaker, f"S{len(names) + 1}")
    return tuple(Turn(start, end, names[speaker]) for start, end, speaker in spans)


def _talking(activity: Activity, speakers: NDArray[np.int64], step_frames: int) -> NDArray[np.bool_]:
    """Whether each speaker talks in each frame of the recording, shape (frames, speakers)."""
    frames = (len(activity) - 1) * step_frames + WINDOW_FRAMES
    votes = np.zeros((frames, int(speakers.max(initial=-1)) + 1), dtype=np.int16)
    voices = np.zeros(frames, dtype=np.int16)
    windows = np.zeros(frames, dtype=np.int16)
    for index, (window, known) in enumerate(zip(activity, speakers, strict=True)):
        here = slice(index * step_frames, index * step_frames + WINDOW_FRAMES)
        windows[here] += 1
        voices[here] += window.sum(axis=1)
        for local in np.flatnonzero(known >= 0):
            votes[here, known[local]] += window[:, local]
    counts = np.rint(voices / windows)
    talking = np.zeros(votes.shape, dtype=np.bool_)
    ranked = np.argsort(-votes, axis=1, kind="stable")
    for place in range(min(LOCAL_SPEAKERS, votes.shape[1])):
        many = np.flatnonzero(counts > place)
        chosen = ranked[many, place]
        talking[many, chosen] = votes[many, chosen] > 0
    return talking


def _runs(talking: NDArray[np.bool_], samples: int) -> list[tuple[int, int]]:
    """Stretches of frames in which one speaker talks, as samples of the recording."""
    edges = np.flatnonzero(np.diff(talking, prepend=False, append=False))
    positions = np.minimum(edges * FRAME_SAMPLES + FIRST_FRAME_SAMPLE, samples).tolist()
    return [(start, end) for start, end in zip(positions[::2], positions[1::2], strict=True) if end > start]
