"""Streamed containers under any cut: the same samples, and those that a file of the same bytes gives."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pytest
from containers import ENCODINGS, decode, encode, recording, tone
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from speechlane.audio.format import ContainerFormat
from speechlane.errors import InvalidAudio
from speechlane.media import open_audio
from speechlane.media.streaming import ContainerDecoder

pytestmark = pytest.mark.properties

RATES = {"ogg_opus": 48_000, "webm_opus": 48_000}


@cache
def stream(encoding, channels):
    """A second of sound in a container, and its samples decoded at once."""
    data = encode(encoding, tone(RATES.get(encoding, 22_050), 1, channels), RATES.get(encoding, 22_050))
    return data, decode(encoding, [data], timelines=channels)


def attempt(encoding, pieces):
    """The samples that came out, and the error that ended it, if any."""
    decoder, parts = ContainerDecoder(ContainerFormat(encoding), timelines=1), [np.zeros(0, np.float32)]
    try:
        for piece in pieces:
            parts += [part for (part,) in decoder.pieces(piece)]
        parts += decoder.finish().samples
    except InvalidAudio as error:
        return np.concatenate(parts), error
    return np.concatenate(parts), None


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=12, deadline=None)
@given(cuts=st.lists(st.integers(0, 100_000), max_size=40), channels=st.sampled_from([1, 2]))
def test_any_cut_gives_the_same_samples(encoding, cuts, channels):
    """However the bytes are cut, within a header, a packet or a number, not one sample differs."""
    data, whole = stream(encoding, channels)
    edges = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
    recut = decode(encoding, [data[start:end] for start, end in itertools.pairwise(edges)], timelines=channels)
    assert len(recut) == len(whole) == channels
    for expected, actual in zip(whole, recut, strict=True):
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_byte_by_byte_gives_the_same_samples(encoding):
    """The extreme cut: one byte at a time."""
    data, whole = stream(encoding, 1)
    np.testing.assert_array_equal(decode(encoding, [bytes([byte]) for byte in data])[0], whole[0])


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("channels", [1, 2])
def test_a_stream_gives_the_samples_of_a_file(tmp_path, encoding, channels):
    """Both lanes hear the same: pre-skip, padding and all, sample by sample."""
    data, live = stream(encoding, channels)
    path = tmp_path / "sound"
    path.write_bytes(data)
    with open_audio(path, channels="separate") as audio:
        blocks = list(audio.blocks())
    for number in range(channels):
        np.testing.assert_array_equal(live[number], np.concatenate([block[number] for block in blocks]))


def test_a_browsers_recording_gives_the_samples_of_a_file(tmp_path):
    """Clusters of unknown size, no duration, no cues: slice by slice the same samples as the file."""
    path = tmp_path / "recorded.webm"
    path.write_bytes(b"".join(recording()))
    with open_audio(path) as audio:
        whole = np.concatenate([block for (block,) in audio.blocks()])
    np.testing.assert_array_equal(decode("webm_opus", recording())[0], whole)


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), at=st.integers(0, 1_000_000), cut=st.integers(200, 5_000))
def test_damage_is_sound_or_an_error_never_anything_else(encoding, seed, at, cut):
    """Random bytes in a stream: it decodes or raises ``invalid_audio``; every sample is finite and within -1..1."""
    data, _ = stream(encoding, 1)
    where = at % len(data)
    damaged = data[:where] + np.random.default_rng(seed).bytes(64) + data[where + 64 :]
    pieces = [damaged[start : start + cut] for start in range(0, len(damaged), cut)]
    heard, problem = attempt(encoding, pieces)
    assert problem is None or (problem.code, problem.field) == ("invalid_audio", "audio.encoding")
    assert problem is not None or len(heard)
    assert np.isfinite(heard).all()
    assert np.abs(heard).max(initial=0) < 1.5


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), length=st.integers(1, 3_000))
def test_random_bytes_are_refused(encoding, seed, length):
    """Bytes that are no container raise ``invalid_audio`` with the field, at once or at the end."""
    data = np.random.default_rng(seed).bytes(length)
    assume(data[0] != 0xFF)  # MPEG frames begin with 11 ones and nothing else: chance makes these
    with pytest.raises(InvalidAudio) as caught:
        decode(encoding, [data])
    assert (caught.value.code, caught.value.field) == ("invalid_audio", "audio.encoding")
