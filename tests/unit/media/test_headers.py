"""Is part of a file missing? By the file's own bytes, whole and cut at every interesting place."""

import io

import numpy as np
import pytest
import soundfile

from speechlane.media.headers import is_cut_off

pytestmark = pytest.mark.unit

NOISE = 0.1 * np.random.default_rng(1).standard_normal(60_000)


def encoded(container, subtype=None):
    file = io.BytesIO()
    soundfile.write(file, NOISE, 16_000, format=container, subtype=subtype)
    return file.getvalue()


def matroska(declared: bytes, body: int) -> bytes:
    """An EBML header of four bytes of content, then a segment of a declared size."""
    return b"\x1a\x45\xdf\xa3" + b"\x84" + bytes(4) + b"\x18\x53\x80\x67" + declared + bytes(body)


def riff(declared: int, body: int) -> bytes:
    return b"RIFF" + declared.to_bytes(4, "little") + b"WAVE" + bytes(body)


@pytest.mark.parametrize("kind", [("WAV", "PCM_16"), ("AIFF", "PCM_16"), ("MP3",), ("OGG", "OPUS"), ("OGG", "VORBIS")])
def test_any_missing_byte_shows(kind):
    """A whole file is whole; the same without its last byte, or cut anywhere in its sound, is cut off."""
    data = encoded(*kind)
    assert not is_cut_off(io.BytesIO(data))
    for length in (len(data) - 1, len(data) * 3 // 4, len(data) // 3):
        assert is_cut_off(io.BytesIO(data[:length]))


def test_an_id3_tag_is_no_sound():
    """The tag before an MP3 does not count as part of the audio that its header declares."""
    data = encoded("MP3")
    tag = b"ID3\x04\x00\x00" + bytes([0, 0, 7, 104]) + bytes(7 * 128 + 104)
    assert not is_cut_off(io.BytesIO(tag + data))
    assert is_cut_off(io.BytesIO(tag + data[:-500]))


@pytest.mark.parametrize("size", [0, 0x7FFFF024, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_writer_that_could_not_go_back_is_no_fault(size):
    """Recorders that write to a pipe leave a size of nothing or of all there can be; that says nothing."""
    assert not is_cut_off(io.BytesIO(riff(size, 1_000)))


def test_trailing_bytes_are_no_fault():
    """A file longer than its header declares is whole."""
    assert not is_cut_off(io.BytesIO(riff(100, 1_000)))


@pytest.mark.parametrize(
    ("declared", "body", "expected"),
    [
        (b"\x8a", 10, False),
        (b"\x8a", 9, True),
        (b"\x40\x0a", 10, False),
        (b"\x40\x0a", 9, True),
        (b"\x01\x00\x00\x00\x00\x00\x01\x00", 256, False),
        (b"\x01\x00\x00\x00\x00\x00\x01\x00", 255, True),
        (b"\x01\xff\xff\xff\xff\xff\xff\xff", 9, False),  # unknown: written live
        (b"\xff", 9, False),  # unknown, in one byte
    ],
)
def test_a_matroska_segment_declares_its_size(declared, body, expected):
    """Sizes of every width are read; the all-ones size of live streams means unknown."""
    assert is_cut_off(io.BytesIO(matroska(declared, body))) is expected


@pytest.mark.parametrize(
    "data", [b"", b"\x1a\x45\xdf\xa3", b"OggS", b"RIFF", b"\xff\xfb", b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f", b"text"]
)
def test_scraps_raise_nothing(data):
    """Bytes that end inside a header are judged without an exception."""
    assert is_cut_off(io.BytesIO(data)) in {True, False}


def test_the_position_is_kept():
    """FFmpeg reads the same file; looking at its header does not move it."""
    file = io.BytesIO(encoded("WAV"))
    file.seek(77)
    is_cut_off(file)
    assert file.tell() == 77
