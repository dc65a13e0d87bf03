"""Containers decoded while they arrive: what comes out, when, and how much at a time."""

from __future__ import annotations

import io
import struct

import av
import numpy as np
import pytest
from containers import ENCODINGS, decode, encode, recording, tone

from speechlane.audio import AudioFormat, StreamDecoder
from speechlane.audio.format import ContainerFormat
from speechlane.media import flac
from speechlane.media.streaming import ContainerDecoder

pytestmark = pytest.mark.unit


def decoder_of(encoding, timelines=1):
    return ContainerDecoder(ContainerFormat(encoding), timelines=timelines)


def fed(decoder, data):
    """How many samples this brings out."""
    return sum(len(piece[0]) for piece in decoder.pieces(data))


def wav(sound, *, tag=1, bits=16, rate=16_000, channels=1, size=None, before=b"", extensible=False):
    frame = channels * bits // 8
    fmt = struct.pack("<HHIIHH", 0xFFFE if extensible else tag, channels, rate, rate * frame, frame, bits)
    if extensible:
        fmt += struct.pack("<HHIH", 22, bits, 0, tag) + bytes.fromhex("000000001000800000aa00389b71")
    body = b"WAVE" + b"fmt " + struct.pack("<I", len(fmt)) + fmt + before
    body += b"data" + struct.pack("<I", len(sound) if size is None else size) + sound
    return b"RIFF" + struct.pack("<I", len(body)) + body


SOUND = (np.random.default_rng(1).integers(-9_000, 9_000, 5_000)).astype("<i2")


@pytest.mark.parametrize("size", [None, 0, 0xFFFFFFFF, 0x7FFFFFFF])
def test_a_wav_of_unknown_length_goes_on_to_the_end(size):
    """A recorder that cannot go back leaves 0 or a number near the field's end: all that comes is sound."""
    (samples,) = decode("wav", [wav(SOUND.tobytes(), size=size)])
    np.testing.assert_array_equal(samples, SOUND / np.float32(32_768))


@pytest.mark.parametrize("size", [None, 0])
def test_each_sample_of_a_wav_comes_out_at_once(size):
    """At 16 kHz nothing lags: a sample is there with its last byte."""
    decoder, data = decoder_of("wav"), wav(SOUND.tobytes(), size=size)
    head = len(data) - 2 * len(SOUND)
    assert fed(decoder, data[: head + 3]) == 1
    assert fed(decoder, data[head + 3 : head + 4]) == 1


@pytest.mark.parametrize(
    ("tag", "bits", "codec"), [(1, 16, "pcm_s16le"), (3, 32, "pcm_f32le"), (6, 8, "alaw"), (7, 8, "mulaw")]
)
@pytest.mark.parametrize("extensible", [False, True])
def test_a_wav_holds_what_raw_samples_hold(tag, bits, codec, extensible):
    """The same bytes with and without a header give the same samples, at other rates and with channels too."""
    sound = SOUND.tobytes() if tag != 3 else (SOUND / np.float32(20_000)).tobytes()
    decoder = StreamDecoder(AudioFormat(codec, 22_050, 2), mix=False)
    raw = [np.concatenate(both) for both in zip(decoder.feed(sound), decoder.finish().samples, strict=True)]
    data = wav(sound, tag=tag, bits=bits, rate=22_050, channels=2, extensible=extensible)
    for expected, actual in zip(raw, decode("wav", [data], timelines=2), strict=True):
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize(("tag", "bits", "kind"), [(1, 8, "u1"), (1, 24, "i3"), (1, 32, "<i4"), (3, 64, "<f8")])
def test_other_depths_of_wav(tag, bits, kind):
    """8, 24 and 32 bits and doubles are scaled alike."""
    values = np.array([-0.5, 0, 0.25, 0.5])
    match kind:
        case "u1":
            sound = (values * 128 + 128).astype("u1").tobytes()
        case "i3":
            sound = b"".join(int(value * (1 << 23)).to_bytes(3, "little", signed=True) for value in values)
        case "<i4":
            sound = (values * (1 << 31)).astype("<i4").tobytes()
        case _:
            sound = values.astype("<f8").tobytes()
    np.testing.assert_array_equal(decode("wav", [wav(sound, tag=tag, bits=bits)])[0], values.astype(np.float32))


def test_chunks_around_the_sound_and_a_second_file_behind_it():
    """Tags before and behind the sound are no sound; a recorder that sends each slice as a WAV goes on."""
    note = b"LIST" + struct.pack("<I", 5) + b"INFO!\0"
    one = wav(SOUND.tobytes(), before=note) + note
    (samples,) = decode("wav", [one + wav(SOUND.tobytes())])
    np.testing.assert_array_equal(samples, np.tile(SOUND, 2) / np.float32(32_768))


@pytest.mark.parametrize("encoding", ["ogg_opus", "webm_opus"])
def test_a_stream_that_begins_anew_goes_on(encoding):
    """A radio's chained Ogg, a recorder started again: the second stands behind the first."""
    data = encode(encoding, tone(48_000, 0.5), 48_000)
    once, twice = decode(encoding, [data])[0], decode(encoding, [data, data])[0]
    assert len(twice) == 2 * len(once)
    np.testing.assert_array_equal(twice[: len(once) - 500], once[:-500])


@pytest.mark.parametrize("encoding", ["flac", "webm_opus", "ogg_opus"])
def test_a_finished_file_is_a_stream_too(tmp_path, encoding):
    """Sizes, cues and padding of a file that was written to the end: exactly the sound that was put in."""
    data = encode(encoding, tone(48_000, 0.7), 48_000, seekable=True)
    assert len(decode(encoding, [data])[0]) == 0.7 * 16_000


def test_an_mp3_file_begins_with_its_sound():
    """The tag, the frame of information and the encoder's delay are no sound: nothing shifts."""
    rate = 44_100
    sound = np.zeros((1, rate))
    sound[0, rate // 2 :] = np.sin(np.arange(rate - rate // 2) / 5)
    (samples,) = decode("mp3", [encode("mp3", sound, rate, seekable=True)])
    assert np.flatnonzero(np.abs(samples) > 0.1)[0] == pytest.approx(8_000, abs=20)


@pytest.mark.parametrize("channels", [3, 6, 8])
@pytest.mark.parametrize("encoding", ["wav", "flac", "ogg_opus", "webm_opus"])
def test_up_to_eight_channels_stay_apart(encoding, channels):
    """Each channel is a timeline of its own, all of one length, none like another; mixed they are one."""
    data = encode(encoding, tone(48_000, 0.5, channels), 48_000, options={"mapping_family": "1"})
    apart = decode(encoding, [data], timelines=channels)
    assert [len(samples) for samples in apart] == [8_000] * channels
    loudest = {int(np.abs(np.fft.rfft(samples[4_000:])).argmax()) for samples in apart}
    # The low-frequency channel of Opus and the like may lose a high tone; the others keep theirs.
    assert len(loudest) >= channels - 1
    np.testing.assert_allclose(decode(encoding, [data])[0], np.mean(apart, axis=0), atol=1e-4)


def test_a_flac_frame_waits_for_the_next_or_a_flush():
    """The last frame is held until the next begins; `flush` brings it out when it is whole."""
    data = encode("flac", tone(16_000, 1), 16_000)
    decoder = decoder_of("flac")
    early = fed(decoder, data)
    (late,) = decoder.flush()
    assert 0 < len(late) <= 4_096
    assert early + len(late) == 16_000
    assert len(decoder.finish().samples[0]) == 0


def test_flushes_amid_a_frame_cost_no_more_than_its_bytes(monkeypatch):
    """However often a client flushes while a frame is half there, its checksum goes over each byte once."""
    data = encode("flac", tone(48_000, 1), 48_000)
    seen, crc16 = [], flac._crc16
    monkeypatch.setattr(flac, "_crc16", lambda part, crc: seen.append(len(part)) or crc16(part, crc))
    decoder = ContainerDecoder(ContainerFormat("flac"), timelines=1)
    for end in range(0, len(data), 500):
        list(decoder.pieces(data[end : end + 500]))
        for _ in range(20):
            decoder.flush()
    assert sum(seen) <= len(data)


def test_a_flush_amid_a_frame_changes_nothing():
    """A FLAC frame of which half is there stays whole: the flush gives what is before it, and no sample differs."""
    data = encode("flac", tone(16_000, 1), 16_000)
    whole, decoder, parts = decode("flac", [data])[0], decoder_of("flac"), []
    for start in range(0, len(data), 1_000):
        parts += [piece[0] for piece in decoder.pieces(data[start : start + 1_000])]
        parts.append(decoder.flush()[0])
    parts.append(decoder.finish().samples[0])
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_a_browsers_slices_bring_out_their_sound_at_once():
    """Behind each slice of a MediaRecorder at most one packet of 60 ms and the resampler's lag are missing."""
    decoder, heard, behind = decoder_of("webm_opus"), 0, []
    with av.open(io.BytesIO(b"".join(recording()))) as file:
        packets = [packet for packet in file.demux() if packet.size]
    ends = np.cumsum([len(part) for part in recording()])
    for part, end in zip(recording(), ends, strict=True):
        heard += fed(decoder, part)
        said = sum(packet.duration for packet in packets if packet.pos is not None and packet.pos + packet.size < end)
        behind.append(said - heard / 16)
    assert max(behind) < 60 + 40


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_stream_without_bytes_is_no_fault(encoding):
    """A client may finish before it said anything."""
    tail = decoder_of(encoding, 2).finish()
    assert [len(samples) for samples in tail.samples] == [0, 0]


@pytest.mark.parametrize(("encoding", "longest"), [("flac", 16_000 + 65_536), ("ogg_opus", 16_000 + 2_000)])
def test_a_small_stream_of_much_silence_comes_out_a_piece_at_a_time(encoding, longest):
    """Minutes of silence in a few bytes fill no memory: each piece is about a second, taken when there is room."""
    silence = np.zeros((1, 16_000 * 120 if encoding == "flac" else 48_000 * 120), np.float32)
    data = encode(encoding, silence, 16_000 if encoding == "flac" else 48_000)
    decoder = decoder_of(encoding)
    lengths = [len(piece[0]) for piece in decoder.pieces(data)]
    assert max(lengths) <= longest
    assert sum(lengths) >= 119 * 16_000
    assert len(data) < 60_000
