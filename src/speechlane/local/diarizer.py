"""The default diarizer: two small networks and a clustering, without torch, hub or token.

Windows of 10 s, each a quarter further, are segmented into local speakers; each local speaker's voice is embedded
where it talks alone; the voices are clustered into the recording's speakers; overlapping windows vote on each frame.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

import speechlane
from speechlane.audio import SAMPLE_RATE, Samples
from speechlane.diarization import SpeakerBounds, Turn
from speechlane.engine import DiarizerIdentity
from speechlane.engine.checks import check_recording
from speechlane.errors import EngineFailed, SpeechlaneError
from speechlane.local.clustering import cluster_voices
from speechlane.local.diarizer_models import (
    FRAME_SAMPLES,
    LOCAL_SPEAKERS,
    MEL_SAMPLES,
    WINDOW_SAMPLES,
    Activity,
    EmbeddingModel,
    SegmentationModel,
    of_mel_frames,
    read_manifest,
)
from speechlane.local.diarizer_timeline import turns_of
from speechlane.local.resources import models_folder

THRESHOLD = 0.45
"""Cosine distance at which voices are no longer one speaker's; measured in ``benchmarks/reports/diarization.md``."""

STEP_FRAMES = 144
STEP_SAMPLES = STEP_FRAMES * FRAME_SAMPLES
"""From one window to the next, 2.43 s: a whole number of segmentation frames and of log-mel frames, so that windows
share both grids and nothing is rounded."""

# A voice is trusted from half a second of speech on its own; more than 5 s of it tells nothing new and costs time.
_TRUSTED_FRAMES = SAMPLE_RATE // 2 // MEL_SAMPLES
_EMBEDDED_FRAMES = 5 * SAMPLE_RATE // MEL_SAMPLES
# Under a tenth of a second there is no voice to recognise.
_SHORTEST_FRAMES = SAMPLE_RATE // 10 // MEL_SAMPLES

# In a short recording one window may be all that somebody says; in a long one a stray voice is a mistake.
_LONG_SAMPLES = 120 * SAMPLE_RATE
_SMALLEST_IN_LONG = 3

# Windows held in memory at once.
_BLOCK_WINDOWS = 4


@dataclass(frozen=True, slots=True)
class _Voices:
    """What was heard in all windows; voice i is local speaker ``locals[i]`` of window ``windows[i]``."""

    activity: Activity
    embeddings: NDArray[np.float32]
    windows: NDArray[np.int64]
    locals: NDArray[np.int64]
    trusted: NDArray[np.bool_]


class LocalDiarizer:
    """A `Diarizer` on this machine's processor; one thread a recording, safe to share between jobs.

    The models are checked and loaded with the first recording. A cancelled `diarize` stops within a block of windows.

    Args:
        folder: holds ``manifest.toml`` and the two models; None takes those that came with the program.
        threshold: see `THRESHOLD`; smaller finds more speakers.

    Raises:
        ModelUnavailable: ``diarizer_unavailable``, there is no such manifest.
    """

    def __init__(self, folder: Path | None = None, *, threshold: float = THRESHOLD) -> None:
        self._files = read_manifest(folder or models_folder() / "diarization")
        self._threshold = threshold
        self._loading = threading.Lock()
        self._models: tuple[SegmentationModel, EmbeddingModel] | None = None

    @property
    def identity(self) -> DiarizerIdentity:
        libraries = [f"{name} {version(name)}" for name in ("onnxruntime", "kaldi-native-fbank", "scipy")]
        return DiarizerIdentity(
            diarizer="speechlane-local",
            diarizer_version=", ".join([f"speechlane {speechlane.__version__}", *libraries]),
            models=tuple((file.name, file.sha256) for file in self._files.values()),
            options=(
                ("threshold", self._threshold),
                ("window_samples", WINDOW_SAMPLES),
                ("step_samples", STEP_SAMPLES),
                ("trusted_ms", 10 * _TRUSTED_FRAMES),
                ("embedded_ms", 10 * _EMBEDDED_FRAMES),
                ("smallest_in_long", _SMALLEST_IN_LONG),
            ),
        )

    async def diarize(self, samples: Samples, bounds: SpeakerBounds) -> tuple[Turn, ...]:
        """Speaker turns ordered by start; see `Diarizer`. Speakers are ``S1``, ``S2`` ... in order of first speech.

        Raises:
            InvalidInput: ``invalid_recording``, the samples are not one channel.
            ModelUnavailable: a model is missing; DigestMismatch: it is not the pinned one.
            EngineFailed: ``diarizer_failed``, a model raised.
        """
        check_recording(samples)
        stopped = threading.Event()
        try:
            return await asyncio.to_thread(self._diarize, samples, bounds, stopped)
        finally:
            stopped.set()  # a thread cannot be cancelled; it looks here between blocks

    def _diarize(self, samples: Samples, bounds: SpeakerBounds, stopped: threading.Event) -> tuple[Turn, ...]:
        if not len(samples):
            return ()
        try:
            voices = self._listen(samples, stopped)
            labels = cluster_voices(
                voices.embeddings,
                voices.windows,
                voices.trusted,
                bounds,
                threshold=self._threshold,
                smallest=_SMALLEST_IN_LONG if len(samples) >= _LONG_SAMPLES else 1,
            )
        except SpeechlaneError:
            raise
        except Exception as error:  # ONNX Runtime's exceptions share no other base
            raise EngineFailed(
                "diarizer_failed", f"The diarizer failed on this recording: {error}. Try it again."
            ) from error
        speakers = np.full((len(voices.activity), LOCAL_SPEAKERS), -1, dtype=np.int64)
        speakers[voices.windows, voices.locals] = labels
        return turns_of(voices.activity, speakers, step_frames=STEP_FRAMES, samples=len(samples))

    def _listen(self, samples: Samples, stopped: threading.Event) -> _Voices:
        """Segment and embed block by block; what is kept of a window is small."""
        segmentation, embedding = self._loaded()
        activity, heard = [], []
        for first, block in _blocks(samples):
            if stopped.is_set():
                raise EngineFailed("diarizer_stopped", "The diarization was cancelled. Ask for it again if needed.")
            found = segmentation.activity(sliding_window_view(block, WINDOW_SAMPLES)[::STEP_SAMPLES])
            mel = embedding.mel(block)
            for index, local in np.argwhere(found.any(axis=1)):
                frames, trusted = _voice_frames(found[index], local)
                if len(frames) >= _SHORTEST_FRAMES:
                    vector = embedding.embed(mel[index * STEP_SAMPLES // MEL_SAMPLES + frames])
                    heard.append((vector, first + index, local, trusted))
            activity.append(found)
        embeddings, at, locals_, trust = zip(*heard, strict=True) if heard else ((), (), (), ())
        return _Voices(
            activity=np.concatenate(activity),
            embeddings=np.array(embeddings, dtype=np.float32),
            windows=np.array(at, dtype=np.int64),
            locals=np.array(locals_, dtype=np.int64),
            trusted=np.array(trust, dtype=np.bool_),
        )

    def _loaded(self) -> tuple[SegmentationModel, EmbeddingModel]:
        with self._loading:
            if self._models is None:
                self._models = SegmentationModel(self._files["segmentation"]), EmbeddingModel(self._files["embedding"])
            return self._models


def _blocks(samples: Samples) -> Iterator[tuple[int, Samples]]:
    """The recording in blocks that hold whole windows, each with its first window's number; the last ends in silence.

    Blocks overlap as their windows do.
    """
    count = 1 + max(0, -(-(len(samples) - WINDOW_SAMPLES) // STEP_SAMPLES))
    for first in range(0, count, _BLOCK_WINDOWS):
        windows = min(_BLOCK_WINDOWS, count - first)
        block = np.zeros((windows - 1) * STEP_SAMPLES + WINDOW_SAMPLES, dtype=np.float32)
        part = samples[first * STEP_SAMPLES :][: len(block)]
        block[: len(part)] = part
        yield first, block


def _voice_frames(window: Activity, local: int) -> tuple[NDArray[np.int64], bool]:
    """Log-mel frames of a window in which its local speaker is heard best, and whether that tells who it is.

    Where it talks alone, or wherever it talks if it never does so for long. ``window``: (WINDOW_FRAMES, speakers).
    """
    talks = window[:, local] == 1
    alone = np.flatnonzero(of_mel_frames(talks & (window.sum(axis=1) == 1)))
    trusted = len(alone) >= _TRUSTED_FRAMES
    frames = alone if trusted else np.flatnonzero(of_mel_frames(talks))
    return frames[:_EMBEDDED_FRAMES], trusted
