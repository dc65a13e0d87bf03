"""The diarizer's two networks under ONNX Runtime: who speaks within a window, and what a voice sounds like.

Segmentation: pyannote segmentation-3.0, powerset of 3 speakers of whom 2 talk at once (Plaquet and Bredin 2023,
https://arxiv.org/abs/2310.13025). Embedding: 3D-Speaker CAM++ (Wang et al. 2023, https://arxiv.org/abs/2303.00332).
Both files lie in ``models/diarization`` and are loaded only with the digest of the manifest there.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechlane.audio import SAMPLE_RATE, Samples
from speechlane.errors import DigestMismatch, ModelUnavailable
from speechlane.local.onnx import inference_session

WINDOW_SAMPLES = 10 * SAMPLE_RATE
"""What the segmentation network sees at once; it was trained on 10 s."""

WINDOW_FRAMES = 589
"""Answers a window gives."""

FRAME_SAMPLES = 270
"""From one answer to the next."""

FIRST_FRAME_SAMPLE = 360
"""Where the first answer's share of the audio begins: it looks at 991 samples, of which these lie before."""

LOCAL_SPEAKERS = 3
"""Voices that the segmentation network tells apart within one window."""

MEL_SAMPLES = 160
"""From one log-mel frame to the next."""

_MEL_BINS = 80
_MEL_LENGTH_SAMPLES = 400
_MEL_CENTRE_SAMPLE = _MEL_LENGTH_SAMPLES // 2
_WINDOW_MELS = (WINDOW_SAMPLES - _MEL_LENGTH_SAMPLES) // MEL_SAMPLES + 1

# The classes of the powerset: nobody, each speaker alone, each pair.
_CLASSES = np.array(
    [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1)],
    dtype=np.int8,
)
_MEND = "Restore models/diarization from the repository, or install speechlane again."

Activity = NDArray[np.int8]
"""Shape (windows, WINDOW_FRAMES, LOCAL_SPEAKERS): 1 where a window's local speaker talks."""

Mel = NDArray[np.float32]
"""Log-mel frames, shape (frames, 80); a frame is centred 200 samples after its start."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One model as the manifest pins it."""

    name: str
    path: Path
    sha256: str


def read_manifest(folder: Path) -> dict[str, ModelFile]:
    """The pinned files of the folder: ``segmentation`` and ``embedding``. Cheap; nothing is hashed yet.

    Raises:
        ModelUnavailable: ``diarizer_unavailable``, the manifest is missing or names no such models.
    """
    try:
        content: Mapping[str, Any] = tomllib.loads((folder / "manifest.toml").read_text(encoding="utf-8"))
        return {
            role: ModelFile(content[role]["name"], folder / content[role]["file"], content[role]["sha256"])
            for role in ("segmentation", "embedding")
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelUnavailable(
            "diarizer_unavailable", f"The diarizer's manifest in {folder} cannot be read: {error}. {_MEND}"
        ) from error


class SegmentationModel:
    """Who speaks when within windows of 10 s; the speakers of two windows are not the same ones."""

    def __init__(self, file: ModelFile) -> None:
        self._session = _session(file)

    def activity(self, windows: NDArray[np.float32]) -> Activity:
        """The likeliest class of each frame. ``windows``: shape (n, WINDOW_SAMPLES), mono, 16 kHz."""
        scores = self._session.run(None, {"x": np.ascontiguousarray(windows)[:, np.newaxis]})[0]
        activity: Activity = _CLASSES[scores.argmax(axis=-1)]
        return activity


class EmbeddingModel:
    """Voices as vectors of 192 values: the cosine of two says how much they sound alike."""

    def __init__(self, file: ModelFile) -> None:
        import kaldi_native_fbank  # noqa: PLC0415 - loaded with the model, by those who diarize

        self._session = _session(file)
        self._mel = kaldi_native_fbank
        self._options = kaldi_native_fbank.FbankOptions()
        self._options.frame_opts.dither = 0.0  # the same audio gives the same embedding
        self._options.mel_opts.num_bins = _MEL_BINS

    def mel(self, samples: Samples) -> Mel:
        """Kaldi's log-mel frames; frame i starts at sample ``i * MEL_SAMPLES``."""
        features = self._mel.OnlineFbank(self._options)
        features.accept_waveform(SAMPLE_RATE, samples)
        features.input_finished()
        return np.stack([features.get_frame(index) for index in range(features.num_frames_ready)])

    def embed(self, mel: Mel) -> NDArray[np.float32]:
        """The voice in these frames, shape (192,), of length 1. The frames need not follow each other."""
        vector: NDArray[np.float32] = self._session.run(None, {"x": (mel - mel.mean(axis=0))[np.newaxis]})[0][0]
        return vector / max(float(np.linalg.norm(vector)), 1e-12)


def of_mel_frames(frames: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """For each log-mel frame of a window, what holds in the segmentation frame around its centre.

    ``frames``: shape (WINDOW_FRAMES,). Returns shape (998,).
    """
    centres = np.arange(_WINDOW_MELS) * MEL_SAMPLES + _MEL_CENTRE_SAMPLE
    return frames[np.clip((centres - FIRST_FRAME_SAMPLE) // FRAME_SAMPLES, 0, WINDOW_FRAMES - 1)]


def _session(file: ModelFile) -> Any:
    """The file's session, after its digest was checked."""
    try:
        content = file.path.read_bytes()
    except OSError as error:
        raise ModelUnavailable("diarizer_unavailable", f"{file.path} cannot be read: {error}. {_MEND}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise DigestMismatch(
            "digest_mismatch",
            f"{file.path} has sha256 {found}, not the pinned {file.sha256}; it is refused. {_MEND}",
            field=file.path.name,
        )
    return inference_session(content)
