"""A session's kept audio against its log: every window is what an engine was handed, or it is told."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from live_server import START, converse, live_server, script

from speechlane.cli import program
from speechlane.engine.scripted import ScriptedEngine
from speechlane.engine.scripted_audio import scripted_samples
from speechlane.errors import InvalidAudio
from speechlane.live.config import SessionLimits
from speechlane.runtime.replay_audio import check_audio

pytestmark = pytest.mark.integration

WORDS = script(12)
SAMPLES = np.frombuffer(scripted_samples(0, WORDS[-1].end + 24_000), np.float32)


def flac() -> bytes:
    file = io.BytesIO()
    soundfile.write(file, SAMPLES, 16_000, format="FLAC")
    return file.getvalue()


def session_log(folder: Path, audio: dict, data: bytes) -> Path:
    """The log of a session that sent this, flushed amid it, and whose audio was kept."""
    # The end is kept ready to be told again for this long.
    limits = SessionLimits(resume_window_ms=50)
    start = START | {"audio": audio}
    frames = [data[at : at + 5_000] for at in range(0, len(data), 5_000)]
    middle = len(frames) // 2
    talk = [start, *frames[:middle], {"type": "audio.flush", "id": "a"}, *frames[middle:], {"type": "session.finish"}]
    with live_server(ScriptedEngine(WORDS), WORDS, logs=folder, limits=limits, keep_audio=True) as server:
        _, code = converse(server.url, talk)
    assert code == 1000
    (log,) = folder.glob("*/events.jsonl")
    return log


RAW = {"encoding": "pcm_f32le", "sample_rate": 16_000, "channels": 1}


@pytest.mark.parametrize(
    ("audio", "data"),
    [(RAW, SAMPLES.tobytes()), ({"encoding": "flac"}, flac())],
    ids=["raw", "flac"],
)
def test_kept_audio_is_what_the_engines_were_handed(tmp_path, audio, data):
    """Every answered window has its digest, over a flush too; replay says so."""
    log = session_log(tmp_path, audio, data)
    report = check_audio(log)
    assert report.windows > 1
    assert report.different == ()
    told = CliRunner().invoke(program, ["replay", str(log)])
    assert told.exit_code == 0
    assert f"identical: the audio of {report.windows} windows" in told.output


def test_changed_audio_is_noticed(tmp_path):
    """One sample that is not what was heard makes the windows around it differ, and replay fails."""
    log = session_log(tmp_path, RAW, SAMPLES.tobytes())
    (piece, *_) = sorted((log.parent / "audio").iterdir())
    data = bytearray(piece.read_bytes())
    at = WORDS[1].start * 4
    data[at : at + 4] = np.float32(0.123).tobytes()
    piece.write_bytes(data)
    report = check_audio(log)
    assert 0 < len(report.different) <= report.windows
    told = CliRunner().invoke(program, ["replay", str(log)])
    assert told.exit_code == 1
    assert "different audio" in told.output


def test_audio_that_ends_early_is_told(tmp_path):
    """A kept stream shorter than what the log heard is an error with the byte, not a pass."""
    log = session_log(tmp_path, RAW, SAMPLES.tobytes())
    pieces = sorted((log.parent / "audio").iterdir())
    pieces[-1].write_bytes(pieces[-1].read_bytes()[:-4_000])
    with pytest.raises(InvalidAudio) as refused:
        check_audio(log)
    assert refused.value.code == "audio_incomplete"


def test_without_kept_audio_there_is_nothing_to_compare(tmp_path):
    """A log alone replays as ever."""
    log = session_log(tmp_path, RAW, SAMPLES.tobytes())
    for piece in (log.parent / "audio").iterdir():
        piece.unlink()
    (log.parent / "audio").rmdir()
    assert check_audio(log) is None
