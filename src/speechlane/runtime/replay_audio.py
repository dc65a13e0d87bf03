"""The sound behind a session's log: is what was kept beside it what the engines were handed?

A record names the digest of the samples that its text was made from. Where the audio is kept (`event_audio`), the
stream is decoded again and every window that an engine answered about is compared by its digest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from speechlane.audio import Samples
from speechlane.audio.buffer import SampleBuffer
from speechlane.audio.decoder import LiveDecoder
from speechlane.audio.samples import samples_sha256
from speechlane.errors import InvalidAudio
from speechlane.live import Session, events
from speechlane.live.actions import Decode, Release
from speechlane.live.config import SessionHead
from speechlane.live.log import read_log
from speechlane.media.streaming import open_decoder
from speechlane.runtime.recovery import format_of
from speechlane.runtime.session_files import KEPT
from speechlane.runtime.spool import AudioSpool


@dataclass(frozen=True, slots=True)
class AudioReport:
    """``windows`` were compared; ``different`` are the requests whose samples are not what was kept."""

    windows: int
    different: tuple[int, ...]


def check_audio(log: Path) -> AudioReport | None:
    """Compare the audio kept beside a log with the digests in it; None where none is kept.

    Raises:
        InvalidInput: the log cannot be read (see `read_log`).
        InvalidAudio: the audio that is kept cannot be decoded, or ends before the log does.
        StorageFailed: the audio cannot be read.
    """
    folder = log.parent / KEPT
    if not folder.is_dir():
        return None
    with log.open(encoding="utf-8", newline="\n") as lines:
        items = read_log(lines)
        head = next(items)
        assert isinstance(head, SessionHead)
        listener = _Listener(head, AudioSpool(folder, None))
        for item in items:
            if not isinstance(item, str | SessionHead):
                listener.take(item)
    return AudioReport(listener.windows, tuple(listener.different))


class _Listener:
    """Hears the kept audio as far as the log's events go."""

    def __init__(self, head: SessionHead, spool: AudioSpool) -> None:
        self.windows = 0
        self.different: list[int] = []
        self._session = Session(head)
        self._decoder: LiveDecoder = open_decoder(format_of(head), head.config.timelines)
        self._buffers = [SampleBuffer() for _ in range(head.config.timelines)]
        self._asked: dict[int, Decode] = {}
        self._data: Iterator[bytes] = spool.read()
        self._rest = b""
        self._read = 0

    def take(self, event: events.Event) -> None:
        """Hear what the event tells was heard; compare the window that it answers about."""
        if isinstance(event, events.AudioReceived):
            self._hear(event.received_bytes, event.position)
        elif isinstance(event, events.HypothesisReceived) and (ask := self._asked.pop(event.request, None)):
            self.windows += 1
            if samples_sha256(self._buffers[ask.channel].slice(ask.start, ask.end)) != event.audio_sha256:
                self.different.append(event.request)
        for action in self._session.receive(event):
            match action:
                case Decode():
                    self._asked[action.request] = action
                case Release():
                    self._buffers[action.channel].release(min(action.before, self._buffers[action.channel].end))
                case _:
                    pass

    def _hear(self, until: int, position: int) -> None:
        while self._read < until:
            data = self._rest or next(self._data, b"")
            if not data:
                raise InvalidAudio(
                    "audio_incomplete",
                    f"The kept audio ends at byte {self._read}; the log heard {until}. Restore it from a copy.",
                    limit=self._read,
                )
            taken, self._rest = data[: until - self._read], data[until - self._read :]
            self._read += len(taken)
            for channels in self._decoder.pieces(taken):
                self._append(channels)
        if self._buffers[0].end < position:
            self._append(self._decoder.flush())  # as a flush or the stream's end brought it out

    def _append(self, channels: list[Samples]) -> None:
        for buffer, samples in zip(self._buffers, channels, strict=True):
            buffer.append(samples)
