"""Live wire formats: what is taken, what is refused and how."""

import pytest

from speechlane.audio import AudioFormat
from speechlane.audio.format import ContainerFormat
from speechlane.errors import InvalidInput

pytestmark = pytest.mark.unit

OFFERED = ["pcm_s16le", "pcm_f32le", "mulaw", "alaw", "wav", "flac", "ogg_opus", "webm_opus", "mp3", "adts_aac"]


@pytest.mark.parametrize(("encoding", "size"), [("pcm_s16le", 2), ("pcm_f32le", 4), ("mulaw", 1), ("alaw", 1)])
def test_a_frame_holds_one_sample_of_each_channel(encoding, size):
    """bytes_per_frame is the encoding's sample size times the channels."""
    assert AudioFormat(encoding, 16_000, 3).bytes_per_frame == 3 * size


@pytest.mark.parametrize("encoding", ["amr", "PCM_S16LE", "", "opus"])
@pytest.mark.parametrize("kind", [lambda name: AudioFormat(name, 16_000, 1), ContainerFormat], ids=["raw", "container"])
def test_other_encodings_are_refused_with_those_offered(kind, encoding):
    """An unknown encoding is refused; the error names the field and the encodings offered."""
    with pytest.raises(InvalidInput) as caught:
        kind(encoding)
    error = caught.value
    assert (error.code, error.field, error.limit) == ("unsupported_encoding", "audio.encoding", OFFERED)
    assert all(name in error.message for name in OFFERED)


@pytest.mark.parametrize("rate", [0, -16_000, 7_999, 48_001, 96_000])
def test_rates_outside_the_range_are_refused(rate):
    """The sample rate is 8000 to 48000 Hz; the error gives the number that came and the range."""
    with pytest.raises(InvalidInput, match=str(rate)) as caught:
        AudioFormat("pcm_s16le", rate, 1)
    error = caught.value
    assert (error.code, error.field, error.limit) == ("invalid_sample_rate", "audio.sample_rate", "8000..48000")


@pytest.mark.parametrize("channels", [0, -1, 9])
def test_channels_outside_the_range_are_refused(channels):
    """There are 1 to 8 channels."""
    with pytest.raises(InvalidInput) as caught:
        AudioFormat("mulaw", 8_000, channels)
    error = caught.value
    assert (error.code, error.field, error.limit) == ("invalid_channels", "audio.channels", "1..8")


@pytest.mark.parametrize("rate", [8_000, 48_000])
@pytest.mark.parametrize("channels", [1, 8])
def test_the_ends_of_the_ranges_are_taken(rate, channels):
    """Both ends of each range are inside it."""
    audio_format = AudioFormat("alaw", rate, channels)
    assert (audio_format.sample_rate, audio_format.channels) == (rate, channels)
