"""The speech gate: per-frame speech probabilities in, moments of speech started and ended out.

Hysteresis with two thresholds, as in Silero VAD's own iterator: a frame at or over ``threshold`` may start speech,
only frames under ``release`` count as silence. Decisions rest on scores and positions alone, so they replay exactly.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from speechlane.audio.samples import SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class GateSettings:
    """When speech starts and ends.

    ``threshold`` and ``release`` are probabilities; ``start_frames`` of the last ``start_window`` frames must reach
    the threshold; ``endpointing_ms`` of silence end the speech; ``frame_samples`` is what one score covers.
    """

    endpointing_ms: int = 500
    threshold: float = 0.5
    release: float = 0.35
    start_frames: int = 3
    start_window: int = 5
    frame_samples: int = 512


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Speech began at this sample position (the first frame over the threshold)."""

    position: int


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """Speech ended at this sample position (the end of the last frame that was not silence)."""

    position: int


class SpeechGate:
    """The state of one channel's gate; `feed` takes scores in order, one a frame."""

    def __init__(self, settings: GateSettings) -> None:
        self.settings = settings
        self.position = 0
        """Samples scored so far."""
        self.speaking = False
        self.speech_end = 0
        """While speaking: the end of the last frame that was not silence."""
        self._recent: deque[bool] = deque(maxlen=settings.start_window)
        self._endpointing = settings.endpointing_ms * SAMPLE_RATE // 1000

    def feed(self, score: float) -> SpeechStarted | SpeechEnded | None:
        """Take the next frame's probability, 0..1; return the transition it causes, if any."""
        start = self.position
        self.position += self.settings.frame_samples
        if self.speaking:
            if score >= self.settings.release:
                self.speech_end = self.position
            elif self.position - self.speech_end >= self._endpointing:
                return self.end()
            return None
        self._recent.append(score >= self.settings.threshold)
        if self._recent[-1] and sum(self._recent) >= self.settings.start_frames:
            first = next(index for index, speech in enumerate(self._recent) if speech)
            behind = len(self._recent) - 1 - first
            self.speaking = True
            self.speech_end = self.position
            return SpeechStarted(start - behind * self.settings.frame_samples)
        return None

    def end(self) -> SpeechEnded:
        """End the speech now (an endpoint, a flush, the end of the audio); the next speech must start afresh."""
        self.speaking = False
        self._recent.clear()
        return SpeechEnded(self.speech_end)
