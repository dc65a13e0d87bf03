"""Files that are no recording, or not a whole one, or that try to reach others: each has its own clear answer."""

import io
import os
import random
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from speechlane.errors import InvalidAudio, InvalidInput
from speechlane.media import open_audio, opening, probe
from speechlane.samples import sample

pytestmark = pytest.mark.integration

SPEECH, RATE = soundfile.read(io.BytesIO(sample("jfk.wav").read_bytes()))


def encoded(container, subtype=None):
    """Eleven seconds of speech in one of libsndfile's formats."""
    file = io.BytesIO()
    soundfile.write(file, SPEECH, RATE, format=container, subtype=subtype)
    return file.getvalue()


WHOLE = {
    "wav": encoded("WAV", "PCM_16"),
    "float-wav": encoded("WAV", "FLOAT"),
    "aiff": encoded("AIFF"),
    "flac": encoded("FLAC"),
    "mp3": encoded("MP3"),
    "opus": encoded("OGG", "OPUS"),
    "vorbis": encoded("OGG", "VORBIS"),
}


@pytest.fixture
def file(tmp_path):
    """Write bytes to a file of that name."""

    def write(data, name="upload"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


def read_all(path):
    with open_audio(path) as audio:
        return sum(len(samples) for (samples,) in audio.blocks()), audio


def refused(path):
    """The error that decoding ends in."""
    with pytest.raises(InvalidInput) as caught:
        read_all(path)
    error = caught.value
    assert error.field == "file"
    assert error.fault == "client"
    assert not error.retryable
    assert error.message.count(". ") >= 1  # the fact, then the next step
    return error


@pytest.mark.parametrize(
    "data",
    [
        b"This is a text file, not audio.\n" * 100,
        b"x",
        b'{"audio": "none"}',
        b"<html><body>404</body></html>" * 20,
        b"%PDF-1.7\n" + random.Random(1).randbytes(5_000),
        b"\x7fELF" + random.Random(2).randbytes(5_000),
        random.Random(3).randbytes(100_000),
        bytes(100_000),
    ],
    ids=["text", "one byte", "json", "html", "pdf", "program", "noise", "zeros"],
)
@pytest.mark.parametrize("name", ["upload", "upload.wav", "upload.mp3"])
def test_what_is_no_recording_is_refused(file, data, name):
    """A text, page, document or program posted as audio is not_audio, whatever it is called."""
    error = refused(file(data, name))
    assert isinstance(error, InvalidAudio)
    assert error.code == "not_audio"
    assert str(len(data)) in error.message


def test_an_empty_file_is_refused(file):
    """Nought bytes are empty_file, not a decoder's message."""
    assert refused(file(b"")).code == "empty_file"


def test_a_file_that_is_not_there_is_named(tmp_path):
    """A wrong path says which path."""
    error = refused(tmp_path / "nowhere.wav")
    assert error.code == "file_not_found"
    assert "nowhere.wav" in error.message


def test_a_folder_is_no_file(tmp_path):
    """A folder is refused by its cause."""
    error = refused(tmp_path)
    assert error.code == "file_unreadable"


def test_a_picture_and_subtitles_have_no_audio_track(file):
    """What FFmpeg reads and has no sound is no_audio_track, and the error tells what it holds instead."""
    gif = (
        b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00"
        b",\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
    )
    error = refused(file(gif))
    assert error.code == "no_audio_track"
    assert "video" in error.message
    error = refused(file(b"1\n00:00:01,000 --> 00:00:02,000\nhello\n\n"))
    assert error.code == "no_audio_track"
    assert "subtitle" in error.message


@pytest.mark.parametrize("kind", WHOLE)
def test_a_whole_file_has_no_warning(file, kind):
    """No false alarm: each whole file decodes to all its samples without a warning."""
    samples, audio = read_all(file(WHOLE[kind]))
    assert audio.warnings == []
    assert samples == pytest.approx(len(SPEECH), abs=1_700)  # the codec's own padding


@pytest.mark.parametrize("share", [0.3, 0.75])
@pytest.mark.parametrize("kind", WHOLE)
def test_a_file_cut_off_gives_what_is_there(file, kind, share):
    """A truncated file decodes as far as it goes, with a warning that says where it ends."""
    data = WHOLE[kind]
    samples, audio = read_all(file(data[: int(len(data) * share)]))
    assert 0 < samples < len(SPEECH) * (share + 0.2)
    assert "truncated" in [warning.code for warning in audio.warnings]
    assert f"ends at {audio.duration_ms} ms" in audio.warnings[0].message


def test_a_stream_without_header_cut_in_a_packet_is_told(file, tmp_path):
    """ADTS declares no length, but its last packet breaks off."""
    path = tmp_path / "whole.aac"
    with av.open(str(path), "w", format="adts") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(SPEECH.astype(np.float32).reshape(1, -1), "fltp", "mono")
        frame.sample_rate = RATE
        for piece in av.AudioResampler("fltp", "mono", RATE, frame_size=stream.frame_size).resample(frame):
            container.mux(stream.encode(piece))
    whole = path.read_bytes()
    assert read_all(path)[1].warnings == []
    samples, audio = read_all(file(whole[: len(whole) // 2]))
    assert samples > 0.3 * len(SPEECH)
    assert [warning.code for warning in audio.warnings] == ["truncated", "damaged"]


@pytest.mark.parametrize("kind", WHOLE)
def test_a_header_alone_is_an_error(file, kind):
    """When not one sample can be decoded the file is unreadable_audio."""
    tag = b"ID3\x04\x00\x00\x00\x00\x00\x00" if kind == "mp3" else b""  # without it 40 bytes of MP3 are anything
    error = refused(file(tag + WHOLE[kind][:40]))
    assert error.code == "unreadable_audio"


def test_an_empty_track_is_an_error(file):
    """A WAV that is whole but holds no samples is unreadable_audio too."""
    empty = io.BytesIO()
    soundfile.write(empty, np.zeros(0), 16_000, format="WAV", subtype="PCM_16")
    assert refused(file(empty.getvalue())).code == "unreadable_audio"


def test_damage_in_the_middle_is_passed_over(file):
    """Packets that cannot be decoded are counted, and the sound after them is there."""
    data = bytearray(WHOLE["mp3"])
    middle = len(data) // 2
    data[middle : middle + 2_000] = random.Random(4).randbytes(2_000)
    samples, audio = read_all(file(bytes(data)))
    assert samples > 0.8 * len(SPEECH)
    assert "damaged" in [warning.code for warning in audio.warnings]
    assert "truncated" not in [warning.code for warning in audio.warnings]


@pytest.mark.parametrize("rate", [0, 1, 4_000_000_000])
def test_an_absurd_rate_does_not_swell_a_file(file, rate):
    """A header that claims 1 Hz would turn a small file into days of samples; it is refused."""
    data = bytearray(WHOLE["wav"])
    data[24:28] = rate.to_bytes(4, "little")
    assert refused(file(bytes(data))).code == "unreadable_audio"


def test_an_absurd_rate_in_the_middle_is_refused_too(file):
    """Frames that claim 10 Hz behind honest ones would each swell to hours."""

    def flac(rate):
        stream = io.BytesIO()
        soundfile.write(stream, SPEECH[:16_000], rate, format="FLAC")
        return stream.getvalue()

    slow = flac(10)
    start = 4  # behind "fLaC" come metadata blocks, the last one marked by its top bit
    while True:
        last, length = slow[start] & 0x80, int.from_bytes(slow[start + 1 : start + 4], "big")
        start += 4 + length
        if last:
            break
    assert refused(file(flac(16_000) + slow[start:])).code == "unreadable_audio"


def test_nothing_is_written_to_standard_error(file, capfd):
    """FFmpeg's own log stays silent, however damaged the file is."""
    rng = random.Random(5)
    for data in WHOLE.values():
        noisy = bytearray(data)
        for _ in range(200):
            noisy[rng.randrange(100, len(noisy))] = rng.randrange(256)
        try:
            read_all(file(bytes(noisy)))
        except InvalidAudio:
            continue
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


@pytest.fixture
def secret(tmp_path, monkeypatch):
    """Another file of the machine that FFmpeg could read, in the folder that the program runs in."""
    path = tmp_path / "secret.ts"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mp2", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray((SPEECH * 32767).astype(np.int16).reshape(1, -1), "s16", "mono")
        frame.sample_rate = RATE
        for piece in av.AudioResampler("s16", "mono", RATE, frame_size=stream.frame_size).resample(frame):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    assert read_all(path)[0] > 0.9 * len(SPEECH)
    monkeypatch.chdir(tmp_path)
    return path


def scripts(secret):
    """Playlists and scripts that lead FFmpeg to another file, by absolute and relative names."""
    head = "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n"
    return {
        "absolute.m3u8": f"{head}{secret}\n#EXT-X-ENDLIST\n",
        "url.m3u8": f"{head}file://{secret}\n#EXT-X-ENDLIST\n",
        "relative.m3u8": f"{head}{secret.name}\n#EXT-X-ENDLIST\n",
        "nested.m3u8": f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nconcat:{secret}|{secret}\n",
        "absolute.ffconcat": f"ffconcat version 1.0\nfile '{secret}'\n",
        "relative.ffconcat": f"ffconcat version 1.0\nfile {secret.name}\n",
        "session.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    }


@pytest.mark.parametrize("name", scripts(Path("secret.ts")))
def test_a_script_never_opens_another_file(tmp_path, secret, name):
    """A playlist or script uploaded as a recording is refused, from the folder of the other file too."""
    path = tmp_path / name
    path.write_text(scripts(secret)[name])
    assert refused(path).code == "not_audio"


@pytest.mark.parametrize("name", ["absolute.m3u8", "relative.m3u8", "relative.ffconcat"])
def test_the_inner_wall_stands_alone(tmp_path, secret, monkeypatch, name):
    """Even if FFmpeg knew the file's name and took the script, no protocol is left to open anything else with."""
    monkeypatch.setattr(opening, "_Nameless", lambda file: file)
    path = tmp_path / name
    path.write_text(scripts(secret)[name])
    assert refused(os.path.relpath(path)).code == "not_audio"


def descriptors():
    return sorted(entry.name for entry in Path("/proc/self/fd").iterdir())


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open descriptors are counted in /proc")
@pytest.mark.parametrize("data", [WHOLE["wav"], b"text", WHOLE["wav"][:40]], ids=["left early", "refused", "cut off"])
def test_no_file_stays_open(file, data):
    """Whether decoding ends well, badly or is left early, its file is closed."""
    path = file(data)
    before = descriptors()
    try:
        probe(path)
        with open_audio(path) as audio:
            next(audio.blocks())
    except InvalidAudio:
        assert data != WHOLE["wav"]
    assert descriptors() == before
