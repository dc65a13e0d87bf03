"""Live audio under generated input: recutting changes nothing, lengths add up, the buffer equals a plain array."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from speechlane.audio import SAMPLE_RATE, AudioFormat, SampleBuffer, StreamDecoder

pytestmark = pytest.mark.properties

FORMATS = st.builds(
    AudioFormat,
    st.sampled_from(["pcm_s16le", "pcm_f32le", "mulaw", "alaw"]),
    st.sampled_from([8_000, 11_025, 12_345, 16_000, 22_050, 44_100, 47_999, 48_000]),
    st.integers(1, 8),
)


def decode(audio_format, pieces, *, mix):
    """All samples of a stream, one array a channel, and the dropped bytes."""
    decoder = StreamDecoder(audio_format, mix=mix)
    parts = [decoder.feed(piece) for piece in pieces]
    tail = decoder.finish()
    parts.append(tail.samples)
    return [np.concatenate(channel) for channel in zip(*parts, strict=True)], tail.dropped_bytes


@settings(max_examples=60, deadline=None)
@given(
    audio_format=FORMATS,
    seed=st.integers(0, 2**32 - 1),
    length=st.integers(0, 60_000),
    cuts=st.lists(st.integers(0, 60_000), max_size=20),
    mix=st.booleans(),
)
def test_recutting_the_bytes_changes_no_sample(audio_format, seed, length, cuts, mix):
    """Any bytes cut anywhere (inside a sample too) decode to exactly the samples of the uncut stream."""
    data = np.random.default_rng(seed).bytes(length)
    edges = sorted({0, length, *(cut for cut in cuts if cut < length)})
    pieces = [data[start:end] for start, end in itertools.pairwise(edges)]
    whole, dropped = decode(audio_format, [data], mix=mix)
    recut, recut_dropped = decode(audio_format, pieces, mix=mix)
    assert dropped == recut_dropped == length % audio_format.bytes_per_frame
    assert len(whole) == len(recut) == (1 if mix else audio_format.channels)
    for expected, actual in zip(whole, recut, strict=True):
        assert actual.dtype == np.float32
        assert np.isfinite(actual).all()
        np.testing.assert_array_equal(actual, expected)


@settings(max_examples=200, deadline=None)
@given(audio_format=FORMATS, stretches=st.lists(st.integers(0, 3_000), min_size=1, max_size=6))
def test_lengths_add_up_across_flushes(audio_format, stretches):
    """After n frames and any flushes exactly round(n * 16000 / rate) samples are out, half up."""
    decoder = StreamDecoder(audio_format, mix=True)
    frames = given_out = 0
    for stretch in stretches:
        frames += stretch
        given_out += len(decoder.feed(bytes(stretch * audio_format.bytes_per_frame))[0])
        given_out += len(decoder.flush()[0])
        assert given_out == int(frames * SAMPLE_RATE / audio_format.sample_rate + 0.5)


class BufferMachine(RuleBasedStateMachine):
    """Appends, releases and slices in any order against an array that forgets nothing."""

    def __init__(self):
        super().__init__()
        self.buffer = SampleBuffer()
        self.plain = np.zeros(0, np.float32)
        self.released = 0

    @rule(length=st.integers(0, 40_000))
    def append(self, length):
        piece = np.arange(len(self.plain), len(self.plain) + length, dtype=np.float32)
        self.plain = np.concatenate([self.plain, piece])
        self.buffer.append(piece)

    @rule(share=st.floats(0, 1))
    def release(self, share):
        before = int(share * len(self.plain))
        self.buffer.release(before)
        self.released = max(self.released, before)

    @rule(first=st.floats(0, 1), last=st.floats(0, 1))
    def slice(self, first, last):
        held = len(self.plain) - self.released
        start, end = sorted((self.released + int(first * held), self.released + int(last * held)))
        np.testing.assert_array_equal(self.buffer.slice(start, end), self.plain[start:end])

    @precondition(lambda self: self.released > 0)
    @rule(share=st.floats(0, 1, exclude_max=True))
    def released_positions_raise(self, share):
        with pytest.raises(IndexError):
            self.buffer.slice(int(share * self.released), len(self.plain))

    @invariant()
    def span_and_memory(self):
        assert (self.buffer.start, self.buffer.end) == (self.released, len(self.plain))
        assert self.buffer.capacity <= max(16_384, 4 * (self.buffer.end - self.buffer.start))


def test_the_buffer_equals_a_plain_array():
    """Whatever is appended, released and asked for, spans equal those of an array that forgets nothing."""
    run_state_machine_as_test(BufferMachine, settings=settings(max_examples=60, stateful_step_count=30, deadline=None))
