"""The sample buffer's edges: released positions, positions to come, memory."""

import numpy as np
import pytest

from speechlane.audio import SampleBuffer

pytestmark = pytest.mark.unit


def filled(length: int) -> SampleBuffer:
    buffer = SampleBuffer()
    buffer.append(np.arange(length, dtype=np.float32))
    return buffer


def test_a_released_position_is_told():
    """Asking for a released sample raises and names both the span asked for and the span held."""
    buffer = filled(100)
    buffer.release(40)
    with pytest.raises(IndexError, match=r"30\.\.50 .* 40\.\.100 are held"):
        buffer.slice(30, 50)
    assert buffer.slice(40, 42).tolist() == [40.0, 41.0]


@pytest.mark.parametrize(("start", "end"), [(90, 101), (60, 50), (-1, 5)])
def test_a_span_that_is_not_there_is_told(start, end):
    """A span past the end, backwards or before the start raises."""
    with pytest.raises(IndexError):
        filled(100).slice(start, end)


def test_what_is_not_there_cannot_be_released():
    """Releasing past the end raises; releasing before the start does nothing."""
    buffer = filled(100)
    with pytest.raises(IndexError):
        buffer.release(101)
    buffer.release(70)
    buffer.release(10)
    assert (buffer.start, buffer.end) == (70, 100)


def test_a_slice_is_a_copy():
    """A window handed to an engine does not change when more sound arrives or is released."""
    buffer = filled(10)
    window = buffer.slice(0, 10)
    buffer.release(10)
    buffer.append(np.full(40_000, -1, np.float32))
    assert window.tolist() == list(range(10))


def test_memory_follows_what_is_held():
    """An hour that passes through in 20 ms pieces, two seconds held, never needs more than four times that."""
    buffer = SampleBuffer()
    piece = np.zeros(320, np.float32)
    most = 0
    for _ in range(180_000):
        buffer.append(piece)
        buffer.release(max(0, buffer.end - 32_000))
        most = max(most, buffer.capacity)
    assert buffer.end == 3_600 * 16_000
    assert most <= 4 * 32_320


def test_memory_is_given_back():
    """A long span that is released gives its memory back."""
    buffer = filled(1_000_000)
    assert buffer.capacity >= 1_000_000
    buffer.release(999_000)
    assert buffer.capacity <= 16_384
    assert buffer.slice(999_000, 999_001).tolist() == [999_000.0]


def test_a_timeline_may_start_anywhere():
    """After a resume the first sample held need not be position 0."""
    buffer = SampleBuffer(start=5_000)
    buffer.append(np.ones(3, np.float32))
    assert (buffer.start, buffer.end) == (5_000, 5_003)
    assert buffer.slice(5_001, 5_003).tolist() == [1.0, 1.0]


def test_what_is_held_stays_what_it_was():
    """However often the store makes room, each position keeps its sample."""
    buffer = SampleBuffer()
    for start in range(0, 400_000, 1_000):
        buffer.append(np.arange(start, start + 1_000, dtype=np.float32))
        buffer.release(max(0, buffer.end - start % 9_000))
        assert np.array_equal(buffer.slice(buffer.start, buffer.end), np.arange(buffer.start, buffer.end))
