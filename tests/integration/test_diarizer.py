"""The local diarizer on real speech."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from speechlane.audio import SAMPLE_RATE, Samples
from speechlane.diarization import SpeakerBounds, Turn, parse_rttm
from speechlane.errors import DigestMismatch, EngineFailed
from speechlane.local import diarizer as module
from speechlane.local.diarizer import STEP_SAMPLES, LocalDiarizer
from speechlane.local.diarizer_models import MEL_SAMPLES, SegmentationModel
from speechlane.scoring import DiarizationErrors, der

pytestmark = pytest.mark.integration

UNKNOWN = SpeakerBounds()


@pytest.fixture(scope="module")
def diarizer() -> LocalDiarizer:
    return LocalDiarizer()


@pytest.fixture(scope="module")
def conversation(repository: Path) -> Samples:
    """30 s of a telephone conversation of two."""
    return read(repository / "src/speechlane/samples/two_speakers.wav")


@pytest.fixture(scope="module")
def reference(repository: Path) -> tuple[Turn, ...]:
    text = (repository / "src/speechlane/samples/two_speakers.rttm").read_text(encoding="utf-8")
    (turns,) = parse_rttm(text).values()
    return turns


def read(path: Path) -> Samples:
    samples, rate = soundfile.read(path, dtype="float32")
    assert rate == SAMPLE_RATE
    return samples


def diarize(diarizer: LocalDiarizer, samples: Samples, bounds: SpeakerBounds = UNKNOWN) -> Sequence[Turn]:
    return asyncio.run(diarizer.diarize(samples, bounds))


def names(turns: Sequence[Turn]) -> set[str]:
    return {turn.speaker for turn in turns}


def test_two_speakers_are_told_apart(
    diarizer: LocalDiarizer, conversation: Samples, reference: tuple[Turn, ...]
) -> None:
    """The bundled conversation: two speakers, error rate under 6 %, and none beside the edges of turns."""
    turns = diarize(diarizer, conversation)
    assert names(turns) == {"S1", "S2"}
    assert error(reference, turns, conversation) < 0.06
    assert error(reference, turns, conversation, collar=0.25) < 0.005


def error(reference: Sequence[Turn], turns: Sequence[Turn], samples: Samples, collar: float = 0.0) -> float:
    rate = der(reference, turns, duration=len(samples), collar=collar).rate
    assert rate is not None
    return rate


def telephone(samples: Samples) -> Samples:
    """8 kHz and 8 bits, as mu-law carries them."""
    narrow = soxr.resample(samples, SAMPLE_RATE, 8_000)
    companded = np.round(np.sign(narrow) * np.log1p(255 * abs(narrow)) / np.log(256) * 127) / 127
    return soxr.resample(np.sign(companded) * (256 ** abs(companded) - 1) / 255, 8_000, SAMPLE_RATE).astype(np.float32)


def noisy(samples: Samples) -> Samples:
    """White noise 20 dB under the recording's mean power."""
    level = np.sqrt(np.mean(samples**2)) / 10
    return samples + level * np.random.default_rng(1).standard_normal(len(samples)).astype(np.float32)


@pytest.mark.parametrize("change", [telephone, noisy, lambda samples: samples * np.float32(0.05)])
def test_sound_quality_does_not_merge_speakers(
    diarizer: LocalDiarizer, conversation: Samples, reference: tuple[Turn, ...], change
) -> None:
    """Over a telephone, under noise, or at a twentieth of the level, the two are still two."""
    turns = diarize(diarizer, change(conversation))
    assert names(turns) == {"S1", "S2"}
    assert error(reference, turns, conversation) < 0.12


def test_one_speaker_is_one(diarizer: LocalDiarizer, repository: Path) -> None:
    """A speech by one man, with pauses and echo, is one speaker's."""
    assert names(diarize(diarizer, read(repository / "src/speechlane/samples/jfk.wav"))) == {"S1"}


def test_hiss_is_nobody(diarizer: LocalDiarizer) -> None:
    """White noise at a usual level has no turns."""
    hiss = 0.01 * np.random.default_rng(1).standard_normal(12 * SAMPLE_RATE).astype(np.float32)
    assert diarize(diarizer, hiss) == ()


def test_windows_share_both_grids() -> None:
    """A step is a whole number of log-mel frames, so that blocks of windows give what single windows give."""
    assert STEP_SAMPLES % MEL_SAMPLES == 0


def test_the_size_of_blocks_changes_nothing(
    diarizer: LocalDiarizer, conversation: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many windows are held at once bounds memory and nothing else."""
    whole = diarize(diarizer, conversation)
    monkeypatch.setattr(module, "_BLOCK_WINDOWS", 3)
    assert diarize(diarizer, conversation) == whole


def test_cancelling_stops_the_work(conversation: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that is canceled does not go on to listen in its thread: the block in hand is the last."""
    listened = threading.Semaphore(0)
    go_on = threading.Event()
    blocks = 0
    original = SegmentationModel.activity

    def slowly(self, windows):
        nonlocal blocks
        blocks += 1
        listened.release()
        assert go_on.wait(30)
        return original(self, windows)

    monkeypatch.setattr(SegmentationModel, "activity", slowly)
    monkeypatch.setattr(module, "_BLOCK_WINDOWS", 1)

    async def cancel_at_first_block() -> None:
        task = asyncio.create_task(LocalDiarizer().diarize(conversation, UNKNOWN))
        await asyncio.to_thread(listened.acquire)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()

    asyncio.run(cancel_at_first_block())  # waits for its threads to end
    assert blocks == 1


def test_a_model_that_raises_is_an_engine_failure(conversation: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a model raises comes out as one error that says what to do; the next recording is taken."""
    diarizer = LocalDiarizer()

    def out_of_memory(self, windows):
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr(SegmentationModel, "activity", out_of_memory)
        with pytest.raises(EngineFailed, match="Try it again") as failed:
            diarize(diarizer, conversation)
    assert (failed.value.code, failed.value.retryable) == ("diarizer_failed", True)
    assert names(diarize(diarizer, conversation[: 20 * SAMPLE_RATE])) == {"S1", "S2"}


def test_changed_weights_are_refused_before_use(repository: Path, tmp_path: Path, conversation: Samples) -> None:
    """A diarizer whose embedding model was swapped answers nothing."""
    for path in (repository / "models" / "diarization").iterdir():
        if path.suffix in {".onnx", ".toml"}:
            shutil.copy(path, tmp_path)
    shutil.copy(tmp_path / "segmentation-3.0.onnx", tmp_path / "campplus_zh_en_advanced.fp16w.onnx")
    with pytest.raises(DigestMismatch, match="campplus"):
        diarize(LocalDiarizer(tmp_path), conversation)


def test_meetings_stay_as_good_as_measured(diarizer: LocalDiarizer, corpus: Path) -> None:
    """Three meeting clips with overlap: no worse in sum than the report says, with some room for other processors."""
    errors = DiarizationErrors()
    for name in ("ami_EN2001e_000_030", "ami_EN2003a_000_030", "ami_ES2003a_000_030"):
        samples = read(corpus / "audio" / f"{name}.wav")
        text = (corpus / "rttm" / f"{name}.rttm").read_text(encoding="utf-8")
        reference = parse_rttm(text)[name]
        errors += der(reference, diarize(diarizer, samples), duration=len(samples))
    assert errors.rate is not None
    assert errors.rate < 0.18
