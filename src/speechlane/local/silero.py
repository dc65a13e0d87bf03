"""The speech gate's model: Silero VAD 6 under ONNX Runtime, one frame of 32 ms at a time.

The weights are the file that faster-whisper carries in its wheel; the package itself is not imported. Its graph runs a
recurrent layer along its first axis: that axis is time in one channel, and the state has no batch axis. Channels can
therefore not share a run; each scorer holds its own state and one model serves them all.

Source: https://github.com/snakers4/silero-vad (MIT).
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from speechlane.errors import ModelUnavailable
from speechlane.local.onnx import inference_session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from speechlane.audio import Samples

FRAME_SAMPLES = 512
"""Samples a score covers: 32 ms, the only length the model takes at 16 kHz."""

# Each frame is shown with the samples just before it.
_CONTEXT_SAMPLES = 64
_STATE_SHAPE = (1, 1, 128)
_NAME = "silero_vad_v6"
# Frames a run may hold when a whole recording is scored: bounds memory at about half a minute of audio.
_RUN_FRAMES = 1024


class SileroGate:
    """A `SpeechGateModel`. One ONNX session on one thread; safe to share between scorers and threads.

    Args:
        path: the ONNX file; None takes the one in faster-whisper's wheel.

    Raises:
        ModelUnavailable: ``speech_gate_unavailable``, the file is missing or is no such model.
    """

    def __init__(self, path: Path | None = None) -> None:
        path = path or _packaged()
        try:
            content = path.read_bytes()
            self._session = inference_session(content)
        except Exception as error:  # ONNX Runtime's own exceptions share no other base
            raise ModelUnavailable(
                "speech_gate_unavailable",
                f"The speech gate's model {path} cannot be loaded: {error}. Reinstall faster-whisper.",
            ) from error
        self._version = f"{_NAME} sha256:{hashlib.sha256(content).hexdigest()[:12]}"

    @property
    def frame_samples(self) -> int:
        return FRAME_SAMPLES

    @property
    def version(self) -> str:
        return self._version

    def scorer(self) -> SileroScorer:
        return SileroScorer(self._session)

    def score_all(self, samples: Samples) -> tuple[float, ...]:
        """Scores of a whole recording, one for each whole frame: what a fresh scorer gives, in fewer, longer runs.

        ``samples``: shape (n,), mono float32, 16 kHz.
        """
        state = _State()
        frame_count = len(samples) // FRAME_SAMPLES
        scores: list[float] = []
        for start in range(0, frame_count, _RUN_FRAMES):
            count = min(_RUN_FRAMES, frame_count - start)
            begin = start * FRAME_SAMPLES
            scores.extend(state.advance(self._session, samples[begin : begin + count * FRAME_SAMPLES]))
        return tuple(scores)


class SileroScorer:
    """A `SpeechScorer`: one channel's state, and the samples of its unfinished frame.

    Frames are run one by one, so that a score is the same bit for bit however the audio was cut.
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        self._state = _State()
        self._rest: NDArray[np.float32] = np.zeros(0, np.float32)

    def score(self, samples: Samples) -> tuple[float, ...]:
        pending = np.concatenate([self._rest, samples])
        whole = len(pending) - len(pending) % FRAME_SAMPLES
        self._rest = pending[whole:].copy()
        return tuple(self._scores(pending[:whole]))

    def _scores(self, samples: Samples) -> Iterator[float]:
        for start in range(0, len(samples), FRAME_SAMPLES):
            yield from self._state.advance(self._session, samples[start : start + FRAME_SAMPLES])


class _State:
    """What the model remembers of a channel: its recurrent state and the last samples seen."""

    def __init__(self) -> None:
        self._hidden: NDArray[np.float32] = np.zeros(_STATE_SHAPE, np.float32)
        self._cell: NDArray[np.float32] = np.zeros(_STATE_SHAPE, np.float32)
        self._context: NDArray[np.float32] = np.zeros(_CONTEXT_SAMPLES, np.float32)

    def advance(self, session: Any, samples: Samples) -> list[float]:
        """Score whole frames, shape (m * 512,), and move on."""
        seen = np.concatenate([self._context, samples], dtype=np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(seen, _CONTEXT_SAMPLES + FRAME_SAMPLES)[::FRAME_SAMPLES]
        speech, self._hidden, self._cell = session.run(
            None, {"input": np.ascontiguousarray(windows), "h": self._hidden, "c": self._cell}
        )
        self._context = seen[-_CONTEXT_SAMPLES:].copy()
        return [float(score) for score in speech]


def _packaged() -> Path:
    package = find_spec("faster_whisper")
    if package is None or package.origin is None:
        raise ModelUnavailable(
            "speech_gate_unavailable",
            "faster-whisper, whose wheel holds the speech gate's model, is not installed. Run `make setup`.",
        )
    return Path(package.origin).parent / "assets" / f"{_NAME}.onnx"
