"""Decoding of live streams: sample values, channels, tails, hostile floats."""

import io

import av
import numpy as np
import pytest
import soundfile
import soxr

from speechlane.audio import SAMPLE_RATE, AudioFormat, StreamDecoder
from speechlane.audio.decoder import alaw_table, decode_frames, mulaw_table
from speechlane.samples import sample

pytestmark = pytest.mark.unit


def ffmpeg_g711(codec: str) -> np.ndarray:
    """All 256 codes as FFmpeg decodes them, int16."""
    context = av.CodecContext.create(codec, "r")
    context.sample_rate = 8_000
    context.layout = "mono"
    (frame,) = context.decode(av.Packet(bytes(range(256))))
    return frame.to_ndarray().reshape(-1)


@pytest.mark.parametrize(("codec", "table"), [("pcm_mulaw", mulaw_table), ("pcm_alaw", alaw_table)])
def test_g711_tables_agree_with_ffmpeg(codec, table):
    """Every one of the 256 codes decodes to the value that FFmpeg's own decoder gives."""
    np.testing.assert_array_equal(table() * 32768, ffmpeg_g711(codec))


@pytest.mark.parametrize(("subtype", "table"), [("ULAW", mulaw_table), ("ALAW", alaw_table)])
def test_g711_tables_agree_with_libsndfile(subtype, table):
    """The same against a second, unrelated decoder."""
    codes = bytes(range(256))
    expected, _ = soundfile.read(
        io.BytesIO(codes), samplerate=8_000, channels=1, format="RAW", subtype=subtype, dtype="int16"
    )
    np.testing.assert_array_equal(table() * 32768, expected)


def test_pcm_s16le_is_scaled_to_one():
    """Full scale is -1; values are little-endian."""
    data = np.array([-32768, 0, 16384, 32767], "<i2").tobytes()
    frames = decode_frames(data, AudioFormat("pcm_s16le", 16_000, 1))
    assert frames.dtype == np.float32
    assert frames[:, 0].tolist() == [-1.0, 0.0, 0.5, 32767 / 32768]


def test_hostile_floats_never_reach_the_filter():
    """NaN and infinity become silence and values beyond full scale are clipped, so that what follows is heard."""
    tone = np.sin(np.arange(48_000) / 10).astype("<f4")
    poisoned = tone.copy()
    poisoned[1000:1004] = [np.nan, np.inf, -np.inf, 1e30]
    audio_format = AudioFormat("pcm_f32le", 48_000, 1)
    clean, dirty = StreamDecoder(audio_format, mix=True), StreamDecoder(audio_format, mix=True)
    expected = np.concatenate([clean.feed(tone.tobytes())[0], clean.finish().samples[0]])
    actual = np.concatenate([dirty.feed(poisoned.tobytes())[0], dirty.finish().samples[0]])
    assert np.isfinite(actual).all()
    assert np.abs(actual).max() < 1.5
    np.testing.assert_allclose(actual[2000:], expected[2000:], atol=1e-5)


def test_channels_stay_apart_or_are_averaged():
    """Without mix each channel has its own timeline; with mix the mean of all is the one timeline."""
    left, right = np.full(800, 0.5, "<f4"), np.full(800, -0.25, "<f4")
    data = np.stack([left, right], axis=1).tobytes()
    audio_format = AudioFormat("pcm_f32le", 16_000, 2)
    apart, mixed = StreamDecoder(audio_format, mix=False), StreamDecoder(audio_format, mix=True)
    assert (apart.channels, mixed.channels) == (2, 1)
    first, second = apart.feed(data)
    np.testing.assert_array_equal(first, left)
    np.testing.assert_array_equal(second, right)
    (mean,) = mixed.feed(data)
    np.testing.assert_array_equal(mean, np.full(800, 0.125, np.float32))


@pytest.mark.parametrize("cut", [0, 1, 5])
def test_a_partial_frame_at_the_end_is_counted(cut):
    """Bytes that make no whole sample frame are dropped at the end and their number is told."""
    decoder = StreamDecoder(AudioFormat("pcm_s16le", 16_000, 3), mix=True)
    (samples,) = decoder.feed(bytes(6 * 10 + cut))
    tail = decoder.finish()
    assert len(samples) + len(tail.samples[0]) == 10
    assert tail.dropped_bytes == cut


def test_nothing_in_is_nothing_out():
    """An empty stream ends with empty arrays, one a channel, and no error."""
    decoder = StreamDecoder(AudioFormat("mulaw", 8_000, 2), mix=False)
    assert [len(channel) for channel in decoder.feed(b"")] == [0, 0]
    tail = decoder.finish()
    assert [len(channel) for channel in tail.samples] == [0, 0]
    assert tail.dropped_bytes == 0


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000])
def test_speech_survives_the_way_through_another_rate(rate):
    """Real speech resampled to a wire rate and back stays in place: no shift and little loss below 3.4 kHz."""
    speech, _ = soundfile.read(io.BytesIO(sample("jfk.wav").read_bytes()), dtype="float32")
    narrow = soxr.resample(soxr.resample(speech, SAMPLE_RATE, 7_000, "VHQ"), 7_000, SAMPLE_RATE, "VHQ")
    wire = soxr.resample(narrow, SAMPLE_RATE, rate, "VHQ").astype("<f4")
    decoder = StreamDecoder(AudioFormat("pcm_f32le", rate, 1), mix=True)
    heard = np.concatenate([decoder.feed(wire.tobytes())[0], decoder.finish().samples[0]])
    length = min(len(heard), len(narrow))
    assert abs(len(heard) - len(narrow)) <= 2
    error = heard[:length] - narrow[:length]
    assert 10 * np.log10(np.mean(narrow[:length] ** 2) / np.mean(error**2)) > 50  # dB


@pytest.mark.parametrize(("rate", "limit"), [(8_000, 1840), (11_025, 1342), (16_000, 0), (44_100, 645), (48_000, 590)])
def test_output_lags_no_more_than_stated(rate, limit):
    """What `Resampler` says of its lag holds: output is at most that many samples behind the input."""
    decoder = StreamDecoder(AudioFormat("pcm_s16le", rate, 1), mix=True)
    given, worst = 0, 0.0
    step = rate // 200
    for taken in range(step, 2 * rate, step):
        given += len(decoder.feed(bytes(2 * step))[0])
        worst = max(worst, taken * SAMPLE_RATE / rate - given)
    assert worst <= limit


def test_a_flush_brings_out_what_lags_and_the_stream_goes_on():
    """After a flush all that was heard is out; later sound is where it was, to less than a sample, after any number."""
    rate = 44_100
    tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(3 * rate) / rate)).astype("<f4")
    audio_format = AudioFormat("pcm_f32le", rate, 1)
    decoder = StreamDecoder(audio_format, mix=True)
    out = []
    for start in range(0, len(tone), 10_001):
        part = tone[start : start + 10_001]
        out += [decoder.feed(part.tobytes())[0], decoder.flush()[0]]
        assert sum(map(len, out)) == round((start + len(part)) * SAMPLE_RATE / rate)
    heard = np.concatenate(out)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(len(heard)) / SAMPLE_RATE)
    near_flush = np.zeros(len(heard), bool)
    for start in range(0, len(tone) + 10_001, 10_001):
        at = start * SAMPLE_RATE // rate
        near_flush[max(0, at - 200) : at + 200] = True
    # Half a sample of 440 Hz at 0.5 is 0.043.
    assert np.abs(heard - expected)[~near_flush].max() < 0.045
