"""Sample frames of several channels: making them safe, mixing them down, taking them apart."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechlane.audio.samples import Samples

Frames = NDArray[np.float32]
"""Shape (n, channels), C order, at any rate."""


def sanitize(values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """A float32 copy fit for filters and models: NaN and infinity become 0, the rest is clipped to -1..1.

    One NaN would stay in a resampler's state and silence a whole session; floats beyond full scale are clipped just
    as a converter to any integer format would clip them.
    """
    finite = np.where(np.isfinite(values), values, 0)
    return np.clip(finite, -1, 1).astype(np.float32, copy=False)


def downmix(frames: Frames) -> Frames:
    """The mean of all channels, shape (n, 1); never louder than the loudest of them. One channel is its own mean."""
    if frames.shape[1] == 1:
        return frames
    total = frames[:, 0].copy()
    # Channel by channel, so that the order of the additions does not depend on how many frames came at once.
    for channel in range(1, frames.shape[1]):
        total += frames[:, channel]
    return (total / np.float32(frames.shape[1])).reshape(-1, 1)


def split(frames: Frames) -> list[Samples]:
    """One contiguous array a channel."""
    return [np.ascontiguousarray(frames[:, channel]) for channel in range(frames.shape[1])]
