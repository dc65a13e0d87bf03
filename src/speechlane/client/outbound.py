"""What a client has said and the server may still need: audio and control frames in order, until they are safe."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

MAX_FRAME_BYTES = 1 << 16
"""Longer pieces of audio are cut: a server may acknowledge part of a piece."""

LEAST_FRAME_BYTES = 1 << 10
"""What every server takes (`max_frame_bytes` cannot be set lower)."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One WebSocket frame to the server.

    ``data``: audio, or the text of a control message. ``end``: bytes of the audio stream up to its end.
    ``answer``: type and id of the message that answers a control message; None for audio.
    """

    data: bytes | str
    end: int
    answer: tuple[str, str | None] | None = None

    def after(self, position: int) -> Frame:
        """The part of it that lies behind a position of the audio stream."""
        if isinstance(self.data, str) or self.end - len(self.data) >= position:
            return self
        return Frame(self.data[len(self.data) - (self.end - position) :], self.end)


class Outbound:
    """The stream to the server, of which frames are kept until they are acknowledged or answered."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._waiting: deque[Frame] = deque()
        self._sent: deque[Frame] = deque()
        self._keeps = True
        self.max_frame_bytes = LEAST_FRAME_BYTES
        """Longer frames of audio are cut when they are sent: until the server tells what it takes, to the least."""
        self.safe = 0
        """Bytes of audio that need not be sent again."""
        self.end = 0
        """Bytes of audio altogether."""

    @property
    def has_room(self) -> bool:
        """Fewer bytes than the bound wait to be sent or to be acknowledged."""
        return self.end - self.safe < self._max_bytes

    def audio(self, data: bytes) -> None:
        """Append audio, cut anywhere."""
        for start in range(0, len(data), MAX_FRAME_BYTES):
            piece = data[start : start + MAX_FRAME_BYTES]
            self.end += len(piece)
            self._waiting.append(Frame(piece, self.end))

    def control(self, text: str, answer: tuple[str, str | None]) -> None:
        """Append a control message behind the audio so far."""
        self._waiting.append(Frame(text, self.end, answer))

    def next(self) -> Frame | None:
        """The next frame to send on this connection, if any."""
        if not self._waiting:
            return None
        frame = self._waiting.popleft()
        if isinstance(frame.data, bytes) and len(frame.data) > self.max_frame_bytes:
            cut = frame.end - len(frame.data) + self.max_frame_bytes
            self._waiting.appendleft(frame.after(cut))
            frame = Frame(frame.data[: self.max_frame_bytes], cut)
        if self._keeps or frame.answer:
            self._sent.append(frame)
        else:
            self.safe = frame.end
        return frame

    def keep_nothing(self) -> None:
        """There is no use in sending anything again: what is sent is let go."""
        self._keeps = False
        self.acknowledge(max((frame.end for frame in self._sent), default=self.safe))

    def acknowledge(self, position: int) -> None:
        """Let go of the audio before this position of the stream."""
        if position > self.safe:
            self.safe = min(position, self.end)
            self._sent = deque(frame for frame in self._sent if frame.answer or frame.end > position)

    def answered(self, answer: tuple[str, str | None]) -> None:
        """Let go of the first control message that this answers, be it to be sent again."""
        for frames in (self._sent, self._waiting):
            for frame in frames:
                if frame.answer == answer:
                    frames.remove(frame)
                    return

    def rewind(self, position: int) -> None:
        """Send again, on a new connection, what is unanswered and the audio from this position on.

        Raises:
            ValueError: the position is not among the bytes that are kept.
        """
        if not self.safe <= position <= self.end:
            raise ValueError(f"byte {position} of the stream is not kept; kept are {self.safe} to {self.end}")
        self.acknowledge(position)
        self._waiting.extendleft(reversed(self._sent))
        self._sent.clear()
        self._waiting = deque(frame.after(position) for frame in self._waiting if frame.answer or frame.end > position)
