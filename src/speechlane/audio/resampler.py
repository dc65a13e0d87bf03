"""Stateful resampling to 16 kHz with libsoxr, the same for live streams and for files."""

from __future__ import annotations

import numpy as np
import soxr

from speechlane.audio.frames import Frames
from speechlane.audio.samples import SAMPLE_RATE

QUALITY = "HQ"
"""libsoxr's 20-bit recipe: linear phase, pass band to 0.913 of the lower Nyquist frequency."""


class Resampler:
    """One stream of sample frames on its way to 16 kHz; 16 kHz itself passes through unchanged.

    How a stream is cut changes no output sample. Output lags input, because libsoxr filters in blocks: measured at
    HQ, feeding 5 ms at a time, by at most 1840 samples (115 ms) for 8 kHz, 1342 (84 ms) for 11.025 kHz, 926 (58 ms)
    for 32 kHz, 642 (40 ms) for 22.05 and 44.1 kHz, 585 (37 ms) for 24 and 48 kHz, nothing for 16 kHz. `flush` brings
    out what lags. The total length after a flush is round(n * 16000 / rate), half up.
    """

    def __init__(self, rate: int, channels: int) -> None:
        self._rate = rate
        self._channels = channels
        self._stream = (
            None
            if rate == SAMPLE_RATE
            else soxr.ResampleStream(rate, SAMPLE_RATE, channels, dtype="float32", quality=QUALITY)
        )
        self._taken = 0
        self._given = 0

    def process(self, frames: Frames) -> Frames:
        """Take frames of shape (n, channels); give those of the output that are ready, shape (m, channels)."""
        if self._stream is None or not len(frames):
            return frames
        ready: Frames = self._stream.resample_chunk(np.ascontiguousarray(frames))
        self._taken += len(frames)
        self._given += len(ready)
        return ready

    def flush(self) -> Frames:
        """Give all output that lags and let the stream go on.

        The filter starts anew from silence, so a flush in the middle of sound costs a few milliseconds of fidelity
        on both sides of it, but never moves what follows by more than half a sample.
        """
        nothing = np.zeros((0, self._channels), np.float32)
        if self._stream is None:
            return nothing
        tail: Frames = self._stream.resample_chunk(nothing, last=True)
        self._stream.clear()
        # libsoxr rounds each stretch between flushes by itself; the whole may be one sample off what is due.
        due = (2 * self._taken * SAMPLE_RATE + self._rate) // (2 * self._rate) - self._given
        if len(tail) < due:
            edge = tail[-1:] if len(tail) else np.zeros((1, self._channels), np.float32)
            tail = np.concatenate([tail, edge])
        self._given += due
        return tail[:due]
