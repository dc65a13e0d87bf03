"""Streamed containers that are not what was announced: one error, with its field and what to do."""

from __future__ import annotations

import io
import itertools
import struct

import av
import numpy as np
import pytest
from containers import ENCODINGS, decode, encode, tone

from speechlane.audio.format import ContainerFormat
from speechlane.errors import InvalidAudio, InvalidInput
from speechlane.media.streaming import ContainerDecoder

pytestmark = pytest.mark.unit


def refused(encoding, data, *, timelines=1):
    """The message of the error that these bytes cause before they end."""
    decoder = ContainerDecoder(ContainerFormat(encoding), timelines=timelines)
    with pytest.raises(InvalidAudio) as caught:
        list(decoder.pieces(data))
    error = caught.value
    assert (error.code, error.field) == ("invalid_audio", "audio.encoding")
    assert "Open a new session" in error.message
    return error.message


@pytest.fixture(scope="module")
def streams():
    return {name: encode(name, tone(48_000, 0.3), 48_000) for name in ENCODINGS}


@pytest.mark.parametrize(("announced", "sent"), list(itertools.permutations(ENCODINGS, 2)))
def test_one_container_announced_as_another(streams, announced, sent):
    """It is refused at its first bytes, and the error says what was announced."""
    assert announced in refused(announced, streams[sent][:4_000])


def test_the_error_names_what_the_bytes_look_like(streams):
    """A WAV sent as webm_opus is called a WAV."""
    assert "begins as WAV" in refused("webm_opus", streams["wav"])


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_stream_that_ends_within_its_header(streams, encoding, share):
    """Header only, or half of it: told at the end, and not before, since the rest may come."""
    head = {"wav": 44, "flac": 8_000, "ogg_opus": 90, "webm_opus": 150, "mp3": 45, "adts_aac": 12}[encoding]
    data = streams[encoding][: int(head * (1 - share))]
    with pytest.raises(InvalidAudio, match="ended before any of its sound"):
        decode(encoding, [data])


@pytest.mark.parametrize("encoding", ["wav", "flac"])
@pytest.mark.parametrize("rate", [96_000, 4_000])
def test_rates_out_of_range(encoding, rate):
    """8 to 48 kHz are taken, from a header as from session.start."""
    assert f"{rate} Hz" in refused(encoding, encode(encoding, tone(rate, 0.3), rate))


def test_too_many_channels():
    """Nine channels are one too many."""
    fmt = struct.pack("<HHIIHH", 1, 9, 16_000, 16_000 * 18, 18, 16)
    data = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0" + fmt + b"data\0\0\0\0" + bytes(180)
    assert "9 channels" in refused("wav", data)


def test_the_timelines_of_the_session_are_those_of_the_stream(streams):
    """A session of two timelines takes no stream of one channel."""
    assert "1 channel(s), not 2" in refused("wav", streams["wav"], timelines=2)


@pytest.mark.parametrize("encoding", ["wav", "ogg_opus", "webm_opus", "mp3", "adts_aac"])
def test_channels_that_change_midway(encoding):
    """What a stream declares first holds for all of it."""
    one, two = (encode(encoding, tone(48_000, 0.3, channels), 48_000, seekable=True) for channels in (1, 2))
    assert refused(encoding, one + two)


def test_a_rate_that_changes_midway():
    """MP3 frames of another rate are not followed."""
    data = encode("mp3", tone(48_000, 0.3), 48_000) + encode("mp3", tone(24_000, 0.5), 24_000)
    assert "changes from 1 channel(s) at 48000 Hz to 1 at 24000 Hz" in refused("mp3", data)


def test_what_was_heard_before_the_damage_comes_out(streams):
    """The samples before the error are given first."""
    decoder = ContainerDecoder(ContainerFormat("ogg_opus"), timelines=1)
    pieces = decoder.pieces(streams["ogg_opus"] + b"junk" * 10)
    (samples,) = next(pieces)
    with pytest.raises(InvalidAudio, match="damaged"):
        next(pieces)
    assert len(samples) + len(decoder.flush()[0]) == 0.3 * 16_000


def test_other_codecs_in_the_container():
    """FLAC in Ogg or Matroska is no Opus, ADPCM no samples; the error names it."""
    sound = tone(48_000, 0.3)
    assert "FLAC" in refused("ogg_opus", encode("flac", sound, 48_000, muxer="ogg"))
    assert "A_FLAC" in refused("webm_opus", encode("flac", sound, 48_000, muxer="matroska"))
    assert "0x0002" in refused("wav", encode("wav", sound, 48_000, codec="adpcm_ms"))


def test_a_video_beside_the_sound(streams):
    """A recorder of a camera is asked for the sound alone."""
    target = io.BytesIO()
    with av.open(target, "w", format="webm") as out:
        video, audio = out.add_stream("libvpx", rate=10), out.add_stream("libopus", rate=48_000, layout="mono")
        video.width = video.height = 32
        video.pix_fmt = "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.zeros((48, 32), np.uint8), format="yuv420p")
        out.mux(video.encode(picture))
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.float32), format="flt", layout="mono")
        sound.rate = 48_000
        out.mux(audio.encode(sound))
        out.mux(video.encode(None))
        out.mux(audio.encode(None))
    assert "video" in refused("webm_opus", target.getvalue())


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (bytes.fromhex("1a45dfa380 1654ae6b ff"), "no size"),
        (bytes.fromhex("1a45dfa380 1654ae6b 08ffffffff"), "in one piece"),
        (bytes.fromhex("1a45dfa380 a384 81000080 00"), "before it says what sound"),
        (bytes.fromhex("1a45dfa380 4242 81 00"), "unknown id 0x4242"),
        (bytes.fromhex("1a45dfa380 00"), "begins with the byte 0x00"),
        (bytes.fromhex("1a45dfa380 1654ae6b 83 ae8f00"), "longer than the one around it"),
        (bytes.fromhex("1a45dfa380 1654ae6b 80"), "0 audio tracks"),
    ],
)
def test_damaged_webm(data, said):
    """Each kind of damage has its sentence; a size is believed up to 4 MiB."""
    assert said in refused("webm_opus", data.ljust(64, b"\0"))


def test_an_encoding_that_is_no_container():
    """Raw samples have no header to read."""
    with pytest.raises(InvalidInput) as caught:
        ContainerFormat("pcm_s16le")
    assert (caught.value.code, caught.value.field) == ("unsupported_encoding", "audio.encoding")
