"""One channel's samples by absolute position, with the past released as it is no longer needed."""

from __future__ import annotations

import numpy as np

from speechlane.audio.samples import Samples

_MIN_CAPACITY = 16_384
"""Samples, about one second: below this, memory is not given back."""


class SampleBuffer:
    """Samples ``start`` (inclusive) to ``end`` (exclusive) of an ever growing timeline.

    Appending costs amortised O(1) a sample; memory is at most four times the span that is not released (and 64 KiB).
    """

    def __init__(self, start: int = 0) -> None:
        self._start = start
        self._end = start
        self._origin = start  # position of the store's first cell
        self._store = np.empty(_MIN_CAPACITY, np.float32)

    @property
    def start(self) -> int:
        """The first position that is still held."""
        return self._start

    @property
    def end(self) -> int:
        """The position after the last sample."""
        return self._end

    @property
    def capacity(self) -> int:
        """Samples that the store has room for."""
        return len(self._store)

    def append(self, samples: Samples) -> None:
        """Add samples of shape (n,) at ``end``."""
        new_end = self._end + len(samples)
        if new_end - self._origin > len(self._store):
            self._make_room(new_end - self._start)
        self._store[self._end - self._origin : new_end - self._origin] = samples
        self._end = new_end

    def slice(self, start: int, end: int) -> Samples:
        """A copy of samples ``start`` to ``end``.

        Raises:
            IndexError: part of the span is released already or not there yet.
        """
        if not self._start <= start <= end <= self._end:
            raise IndexError(
                f"samples {start}..{end} were asked for; {self._start}..{self._end} are held, "
                f"earlier ones are released and later ones not there yet"
            )
        return self._store[start - self._origin : end - self._origin].copy()

    def release(self, before: int) -> None:
        """Let go of all samples before a position; at or before ``start`` nothing happens.

        Raises:
            IndexError: the position is after ``end``.
        """
        if before > self._end:
            raise IndexError(f"release before {before} was asked for; only samples up to {self._end} are there")
        self._start = max(self._start, before)
        if len(self._store) > max(_MIN_CAPACITY, 4 * (self._end - self._start)):
            self._move_to(max(_MIN_CAPACITY, 2 * (self._end - self._start)))

    def _make_room(self, span: int) -> None:
        """Room for ``span`` samples from ``start`` on: in the same store if they fill half of it at most."""
        if 2 * span > len(self._store):
            self._move_to(max(_MIN_CAPACITY, 2 * span))
            return
        held = self._end - self._start
        self._store[:held] = self._store[self._start - self._origin : self._end - self._origin]
        self._origin = self._start

    def _move_to(self, capacity: int) -> None:
        held = self._store[self._start - self._origin : self._end - self._origin]
        store = np.empty(capacity, np.float32)
        store[: len(held)] = held
        self._store, self._origin = store, self._start
