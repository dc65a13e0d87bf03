"""Sample positions and the one inner format: mono float32 in -1..1 at 16 kHz."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
"""Mono float32 samples, shape (n,), nominally within -1..1, at SAMPLE_RATE."""

SAMPLE_RATE = 16_000
"""Hz; what Whisper, Silero and the diarizer's models all expect."""


def position_to_ms(position: int) -> int:
    """Whole milliseconds at a sample position, rounded half up."""
    return (position * 1000 + SAMPLE_RATE // 2) // SAMPLE_RATE


def ms_to_position(ms: int) -> int:
    """The sample position of a whole millisecond (exact: 16 samples a millisecond)."""
    return ms * SAMPLE_RATE // 1000


def samples_sha256(samples: Samples) -> str:
    """Digest of the samples as handed to an engine: little-endian float32 bytes."""
    return hashlib.sha256(np.ascontiguousarray(samples, dtype="<f4").data).hexdigest()


class WindowDigests:
    """`samples_sha256` of one timeline's windows; one that begins where the last did costs its new samples alone.

    A segment's windows are such: each goes over all that the one before held, and on.
    """

    def __init__(self) -> None:
        self._start, self._end = 0, 0
        self._hash = hashlib.sha256()

    def of(self, start: int, samples: Samples) -> str:
        """Digest of the window of these samples, the first of which stands at position ``start``."""
        end = start + len(samples)
        if start != self._start or end < self._end:
            self._start, self._end, self._hash = start, start, hashlib.sha256()
        self._hash.update(np.ascontiguousarray(samples[self._end - start :], dtype="<f4").data)
        self._end = end
        return self._hash.hexdigest()
