"""Where decoded sound belongs by its timestamps, so that captions keep step with a player."""

from __future__ import annotations

from av.audio.frame import AudioFrame

TOLERANCE_S = 0.1
"""Smaller differences are rounding in the container or the drift of a clock (FFmpeg's own ``min_hard_comp``)."""

MAX_GAP_S = 600.0
"""Larger steps are no pause: the clock was set anew, as in joined or broadcast recordings."""


class Timeline:
    """Follows the end of what is decoded, ``end_s`` seconds after the start of the file's presentation.

    ``filled_s`` and ``jumps`` say what was mended. Sound is never dropped: where timestamps step back, the timeline
    goes on from where it is.
    """

    def __init__(self, start_s: float) -> None:
        self._shift_s = start_s
        self.end_s = 0.0
        self.filled_s = 0.0
        self.jumps = 0

    def gap_before(self, frame: AudioFrame) -> float:
        """Seconds of silence that belong between ``end_s`` and this frame; 0 when it follows closely."""
        if frame.pts is None or frame.time_base is None:
            return 0.0
        gap = float(frame.pts * frame.time_base) - self._shift_s - self.end_s
        if abs(gap) <= TOLERANCE_S:
            return 0.0
        if 0 < gap <= MAX_GAP_S:
            self.filled_s += gap
            return gap
        self._shift_s += gap
        self.jumps += 1
        return 0.0
