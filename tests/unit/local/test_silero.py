"""Silero beyond the seam: the packaged file, whole recordings at once, broken files."""

from __future__ import annotations

import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from speechlane.audio import Samples
from speechlane.errors import ModelUnavailable
from speechlane.local.silero import FRAME_SAMPLES, SileroGate

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def conversation(repository: Path) -> Samples:
    """Two speakers, 30 s, in which nobody speaks before 6.5 s."""
    with wave.open(str(repository / "src/speechlane/samples/two_speakers.wav")) as clip:
        return np.frombuffer(clip.readframes(clip.getnframes()), "<i2").astype(np.float32) / 32768


def test_version_names_the_file_by_digest() -> None:
    """The version tells name and digest, so that another file under the same name shows."""
    assert SileroGate().version == "silero_vad_v6 sha256:4cbf549b8326"


@pytest.mark.parametrize("count", [0, 100, FRAME_SAMPLES * 3, FRAME_SAMPLES * 1024 + 9, FRAME_SAMPLES * 2100])
def test_a_whole_recording_scores_as_its_stream(conversation: Samples, count: int) -> None:
    """score_all gives what a fresh scorer gives, within what the length of a run may change in the last digits."""
    samples = np.resize(conversation, count)
    gate = SileroGate()
    streamed = gate.scorer().score(samples)
    whole = gate.score_all(samples)
    assert len(whole) == count // FRAME_SAMPLES
    np.testing.assert_allclose(whole, streamed, atol=1e-4)


def test_speech_is_found_where_it_is(conversation: Samples) -> None:
    """In the bundled conversation the long stretch before the first word scores low, the speech behind it high."""
    scores = np.array(SileroGate().score_all(conversation))
    seconds = np.arange(len(scores)) * FRAME_SAMPLES / 16_000
    assert (scores[seconds < 6] > 0.5).mean() < 0.1
    assert (scores[seconds > 8] > 0.5).mean() > 0.5


@pytest.mark.parametrize("content", [None, b"not a model"])
def test_a_broken_file_is_told(tmp_path: Path, content: bytes | None) -> None:
    """A missing or foreign file is refused with its path and what to do."""
    path = tmp_path / "gate.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelUnavailable) as refused:
        SileroGate(path)
    assert refused.value.code == "speech_gate_unavailable"
    assert str(path) in refused.value.message


def test_importing_costs_no_model_library() -> None:
    """The modules of local engines load their libraries when an engine is made, not when they are imported."""
    script = (
        "import sys, speechlane.local.silero, speechlane.local.whisper, speechlane.local.dispatcher;"
        "print([name for name in ('onnxruntime', 'ctranslate2', 'faster_whisper') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
