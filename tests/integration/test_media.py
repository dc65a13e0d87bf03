"""Every kind of file in, the same sound out; what can be mended is mended and told."""

import io
import wave
from fractions import Fraction

import av
import numpy as np
import pytest

from speechlane.audio import SAMPLE_RATE, AudioFormat, StreamDecoder
from speechlane.errors import InvalidAudio, InvalidInput, TooLarge
from speechlane.media import open_audio, probe, read_pcm16
from speechlane.samples import sample

pytestmark = pytest.mark.integration

SECONDS = 3.0

# suffix: container options, audio codec, rate, channels, with video
KINDS = {
    "8k.wav": ("pcm_s16le", 8_000, 1, False),
    "44k.wav": ("pcm_s16le", 44_100, 2, False),
    "48k-float.wav": ("pcm_f32le", 48_000, 2, False),
    "8k-mulaw.wav": ("pcm_mulaw", 8_000, 1, False),
    "8k-u8.wav": ("pcm_u8", 8_000, 1, False),
    "24-bit.wav": ("pcm_s24le", 16_000, 1, False),
    "16k.flac": ("flac", 16_000, 1, False),
    "44k.mp3": ("libmp3lame", 44_100, 2, False),
    "opus.ogg": ("libopus", 48_000, 1, False),
    "opus.webm": ("libopus", 48_000, 2, False),
    "aac.mka": ("aac", 44_100, 1, False),
    "aac.m4a": ("aac", 48_000, 2, False),
    "video.mp4": ("aac", 44_100, 2, True),
    "video.mkv": ("libopus", 48_000, 1, True),
    "broadcast.ts": ("aac", 48_000, 1, True),
}


def chirp(rate, channels):
    """Sweeps of 200 to 1500 Hz, another one in each channel, shape (channels, n): every moment sounds different."""
    t = np.arange(int(rate * SECONDS)) / rate
    sweeps = [
        0.4 * np.sin(2 * np.pi * ((200 + 150 * c) * t + (1300 - 300 * c) / SECONDS / 2 * t**2)) for c in range(channels)
    ]
    return np.stack(sweeps).astype(np.float32)


def write_media(path, codec, rate, channels, video, *, sound=None, options=None, starts=((0, None),)):
    """Encode a file; ``starts`` puts stretches of the sound (from sample, timestamp in samples) one after another."""
    sound = chirp(rate, channels) if sound is None else sound
    with av.open(str(path), "w", options=options or {}) as container:
        if video:
            pictures = container.add_stream("mpeg4", rate=25, width=64, height=48, pix_fmt="yuv420p")
        stream = container.add_stream(codec, rate=rate, layout={1: "mono", 2: "stereo"}[channels]) if codec else None
        if video:
            for index in range(int(25 * SECONDS)):
                image = np.full((48, 64, 3), index % 255, np.uint8)
                container.mux(pictures.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
            container.mux(pictures.encode(None))
        if stream is None:
            return path
        resampler = av.AudioResampler(stream.format, stream.layout, rate, frame_size=stream.frame_size or 1024)
        edges = [start for start, _ in starts] + [sound.shape[1]]
        for (start, at), end in zip(starts, edges[1:], strict=True):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound[:, start:end]), "fltp", stream.layout.name)
            frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), start if at is None else at
            for piece in resampler.resample(frame):
                container.mux(stream.encode(piece))
        for piece in resampler.resample(None):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return path


def decode(path, **options):
    """All samples, shape (channels, n), and the file object with its warnings."""
    with open_audio(path, **options) as audio:
        blocks = list(audio.blocks())
    return np.concatenate([np.stack(block) for block in blocks], axis=1), audio


def similarity(heard, expected):
    """Normalised correlation at no shift, over the shared length."""
    length = min(len(heard), len(expected))
    a, b = heard[:length], expected[:length]
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


@pytest.fixture(scope="session")
def media(tmp_path_factory):
    """One file of each kind; ``media(name)`` makes it once."""
    folder = tmp_path_factory.mktemp("media")

    def make(name):
        path = folder / name
        return path if path.exists() else write_media(path, *KINDS[name])

    return make


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_gives_the_same_sound(media, name):
    """Each container and codec decodes to the sound that went in: its length, its place in time, its channels."""
    _, rate, channels, _ = KINDS[name]
    heard, audio = decode(media(name), channels="separate")
    assert audio.warnings == []
    assert heard.dtype == np.float32
    assert heard.shape[0] == audio.channels == channels
    assert abs(heard.shape[1] / SAMPLE_RATE - SECONDS) < 0.06  # codec padding
    assert abs(audio.duration_ms - heard.shape[1] / 16) <= 1
    expected = chirp(SAMPLE_RATE, channels)
    # MPEG-TS carries no note of the AAC encoder's 1024 samples of priming.
    priming = round(1024 * SAMPLE_RATE / rate) if name == "broadcast.ts" else 0
    for channel in range(channels):
        assert similarity(heard[channel, priming:], expected[channel]) > 0.98


@pytest.mark.parametrize("name", ["44k.wav", "44k.mp3", "video.mp4"])
def test_mix_is_the_mean_of_the_channels(media, name):
    """The default is one timeline, the mean of the channels."""
    heard, audio = decode(media(name))
    apart, _ = decode(media(name), channels="separate")
    assert audio.channels == 1
    np.testing.assert_allclose(heard[0], apart.mean(axis=0), atol=2e-5)


@pytest.mark.parametrize("mix", [True, False])
def test_both_lanes_hear_the_same_samples(media, mix):
    """A file's sound is, sample for sample, what the live lane hears when its raw samples are sent."""
    with wave.open(str(media("44k.wav"))) as recording:
        raw = recording.readframes(recording.getnframes())
    decoder = StreamDecoder(AudioFormat("pcm_s16le", 44_100, 2), mix=mix)
    live = np.concatenate([np.stack(decoder.feed(raw)), np.stack(decoder.finish().samples)], axis=1)
    heard, _ = decode(media("44k.wav"), channels="mix" if mix else "separate")
    np.testing.assert_array_equal(heard, live)


@pytest.mark.parametrize("name", KINDS)
def test_probe_tells_what_the_headers_say(media, name):
    """Probing gives container, codec, rate, channels, duration and size without decoding."""
    _, rate, channels, _ = KINDS[name]
    info = probe(media(name))
    assert (info.sample_rate, info.channels, info.audio_tracks, info.track) == (rate, channels, 1, 0)
    assert info.duration_ms == pytest.approx(SECONDS * 1000, abs=60)
    assert info.bytes == media(name).stat().st_size
    assert info.codec
    assert info.container


def test_blocks_are_about_a_second(media):
    """Memory stays flat: blocks hold about one second each, and only the last may be shorter."""
    with open_audio(media("48k-float.wav")) as audio:
        lengths = [len(samples) for (samples,) in audio.blocks()]
    assert sum(lengths) == SECONDS * SAMPLE_RATE
    assert all(SAMPLE_RATE <= length < 2 * SAMPLE_RATE for length in lengths[:-1])


def test_the_extension_does_not_matter(media, tmp_path):
    """Only the bytes decide what a file is."""
    misnamed = tmp_path / "recording.txt"
    misnamed.write_bytes(media("opus.ogg").read_bytes())
    heard, audio = decode(misnamed)
    assert audio.info.codec == "opus"
    np.testing.assert_array_equal(heard, decode(media("opus.ogg"))[0])


def test_silence_is_no_error(tmp_path):
    """A silent file decodes to zeros without error or warning."""
    path = write_media(
        tmp_path / "silent.flac", "flac", 16_000, 1, video=False, sound=np.zeros((1, 40_000), np.float32)
    )
    heard, audio = decode(path)
    assert heard.shape == (1, 40_000)
    assert not heard.any()
    assert audio.warnings == []


def test_a_track_is_chosen_by_number(tmp_path):
    """``track`` counts audio tracks from 0; a number that is not there names the tracks that are."""
    path = tmp_path / "two.mka"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("pcm_s16le", rate=16_000, layout="mono") for _ in range(2)]
        for level, stream in zip((1000, 2000), streams, strict=True):
            frame = av.AudioFrame.from_ndarray(np.full((1, 16_000), level, np.int16), "s16", "mono")
            frame.sample_rate, frame.pts = 16_000, 0
            container.mux(stream.encode(frame))
    assert decode(path)[0][0, 100] == 1000 / 32768
    heard, audio = decode(path, track=1)
    assert heard[0, 100] == 2000 / 32768
    assert (audio.info.audio_tracks, audio.info.track) == (2, 1)
    with pytest.raises(InvalidInput) as caught:
        probe(path, track=2)
    assert (caught.value.code, caught.value.field, caught.value.limit) == ("no_such_track", "track", 1)


def test_missing_time_is_filled_with_silence(tmp_path):
    """Where timestamps say that a second of sound is missing, a second of silence keeps the rest in its place."""
    rate = 16_000
    path = write_media(tmp_path / "gap.mka", "pcm_s16le", rate, 1, video=False, starts=((0, 0), (rate, 2 * rate)))
    heard, audio = decode(path)
    expected = chirp(rate, 1)[0]
    assert abs(heard.shape[1] - 4 * rate) < 100
    assert similarity(heard[0, :rate], expected[:rate]) > 0.99
    assert np.abs(heard[0, rate + 1100 : 2 * rate - 1100]).max() == 0
    assert similarity(heard[0, 2 * rate :], expected[rate:]) > 0.99
    assert [warning.code for warning in audio.warnings] == ["gaps"]
    assert "1 jump" not in audio.warnings[0].message


def test_sound_that_begins_late_stays_late(tmp_path):
    """A track that starts half a second after the video keeps that distance, for captions that fit the picture."""
    path = write_media(tmp_path / "late.mkv", "pcm_s16le", 16_000, 1, video=True, starts=((0, 8_000),))
    heard, _ = decode(path)
    assert not heard[0, :7_900].any()
    assert similarity(heard[0, 8_000:], chirp(16_000, 1)[0]) > 0.99


def test_a_clock_set_anew_adds_no_hours(tmp_path):
    """A jump of the timestamps by hours is passed over: all sound is there, nothing is swollen."""
    rate = 16_000
    path = write_media(
        tmp_path / "jump.mka", "pcm_s16le", rate, 1, video=False, starts=((0, 0), (rate, 5 * 3600 * rate))
    )
    heard, audio = decode(path)
    assert heard.shape[1] == SECONDS * rate
    assert [warning.code for warning in audio.warnings] == ["gaps"]
    assert "1 jump" in audio.warnings[0].message


def test_a_longest_duration_is_held(media):
    """Sound past the allowed duration stops the decoding with the limit, whatever the header says."""
    with open_audio(media("44k.mp3"), max_duration_ms=2_000) as audio, pytest.raises(TooLarge) as caught:
        list(audio.blocks())
    assert (caught.value.code, caught.value.field, caught.value.limit) == ("too_long", "file", 2_000)
    assert audio.duration_ms < 2_100


def test_joined_recordings_of_two_rates_are_one(tmp_path):
    """A stream whose sample rate changes midway (joined files) keeps its sound and its time."""
    first = write_media(tmp_path / "first.mp3", "libmp3lame", 16_000, 1, video=False)
    second = write_media(tmp_path / "second.mp3", "libmp3lame", 44_100, 1, video=False)
    joined = tmp_path / "joined.mp3"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    heard, _ = decode(joined)
    assert heard.shape[1] == pytest.approx(2 * SECONDS * SAMPLE_RATE, rel=0.03)
    expected = chirp(SAMPLE_RATE, 1)[0]
    shift = heard.shape[1] - 48_000
    best = max(similarity(heard[0, shift + lag :], expected) for lag in range(-2_500, 1))
    assert best > 0.95


def test_tags_in_any_encoding_are_no_fault(tmp_path):
    """A title that is not UTF-8 does not stop the sound from being read."""
    data = sample("jfk.wav").read_bytes()
    info = b"INFOINAM" + (8).to_bytes(4, "little") + b"Caf\xe9 \xff\xfe\x00"
    tagged = data[:12] + b"LIST" + len(info).to_bytes(4, "little") + info + data[12:]
    path = tmp_path / "tagged.wav"
    path.write_bytes(tagged)
    assert probe(path).duration_ms == 11_000


def test_too_many_channels_are_kept_apart_by_no_one(tmp_path):
    """More than eight separate channels are refused with the way out; mixed they are taken."""
    path = tmp_path / "many.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16_000, layout="hexadecagonal")
        frame = av.AudioFrame.from_ndarray(np.full((1, 16 * 800), 3200, np.int16), "s16", "hexadecagonal")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
    with pytest.raises(InvalidInput, match="mix") as caught, open_audio(path, channels="separate"):
        pass
    assert (caught.value.code, caught.value.field, caught.value.limit) == ("too_many_channels", "channels", 8)
    heard, _ = decode(path)
    np.testing.assert_allclose(heard[0], 3200 / 32768, atol=1e-6)


def test_hostile_floats_in_a_file_are_made_safe(tmp_path):
    """NaN, infinity and absurd values in a float file never reach the models."""
    values = np.zeros((1, 16_000), np.float64)
    values[0, 100:104] = [np.nan, np.inf, 1e300, -1e300]
    path = tmp_path / "hostile.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_f64le", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(values, "dbl", "mono")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
    heard, _ = decode(path)
    assert heard[0, 100:104].tolist() == [0.0, 0.0, 1.0, -1.0]


def test_pcm16_for_the_live_server_is_exact():
    """A 16 kHz mono WAV comes out as its own bytes."""
    data = sample("jfk.wav").read_bytes()
    with wave.open(io.BytesIO(data)) as recording:
        expected = recording.readframes(recording.getnframes())
    assert b"".join(read_pcm16(str(sample("jfk.wav")))) == expected


def test_what_was_not_decodable_is_an_error_with_its_cause(media, tmp_path):
    """A codec that no decoder here knows is named as the cause, with what to do."""
    data = media("aac.mka").read_bytes()
    path = tmp_path / "unknown.mka"
    path.write_bytes(data.replace(b"A_AAC", b"A_XYZ"))
    with pytest.raises(InvalidAudio, match="FLAC") as caught:
        probe(path)
    assert (caught.value.code, caught.value.field) == ("unsupported_codec", "file")
