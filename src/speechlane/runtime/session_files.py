"""What one session writes: its event log and, where it can be resumed or its audio is kept, its audio."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from speechlane.audio import SAMPLE_RATE
from speechlane.errors import StorageFailed
from speechlane.live.config import SessionHead
from speechlane.live.events import Event
from speechlane.runtime.session_log import SessionLog
from speechlane.runtime.spool import AudioSpool

SESSION_ID = re.compile(r"ses_[0-9a-f]{24}")
"""What a session's folder is named."""

PIECE_S = 8
"""Seconds of raw samples in a piece of the spool: whole frames of the speech gate too, whatever their length."""

MARGIN = 2 * SAMPLE_RATE
"""Sound before what the core still needs that stays stored: a filter and a speech gate begin anew within it."""

SPOOL = "spool"
"""The folder of a session's audio; that it is there says that the session is not over."""

KEPT = "audio"
"""The folder of a session's audio that is kept behind its end."""


class SessionFiles:
    """``DATA/live/SESSION``: ``events.jsonl`` and ``spool/``, which becomes ``audio/`` where it is kept."""

    def __init__(self, folder: Path, head: SessionHead, *, keep_audio: bool, fresh: bool = True) -> None:
        """Begin the files of a session in ``folder`` / its id, or, if they are not ``fresh``, go on with them.

        Raises:
            StorageFailed: they cannot be written; nothing of a fresh session stays.
        """
        self._config, self._keep_audio = head.config, keep_audio
        self.folder = folder / head.session
        self.log = SessionLog(folder, head) if fresh else SessionLog(self.folder, None)
        self.spool: AudioSpool | None = None
        if fresh and head.resume_token is None and not keep_audio:
            return
        raw = head.config.bytes_per_frame * head.config.sample_rate
        try:
            self.spool = AudioSpool(self.folder / SPOOL, raw * PIECE_S or None)
        except StorageFailed:
            self.log.close()
            if fresh:
                self.log.path.unlink(missing_ok=True)
                self.folder.rmdir()
            raise

    @property
    def stored_bytes(self) -> int | None:
        """How much of the client's stream is stored; None where it is not."""
        return self.spool.end if self.spool is not None else None

    @property
    def size(self) -> int:
        """Bytes on the disk: the log, and the audio that is held."""
        return self.log.size + (self.spool.end - self.spool.start if self.spool is not None else 0)

    def store(self, data: bytes) -> None:
        """Store the client's next bytes."""
        if self.spool is not None:
            self.spool.append(data)

    def write(self, event: Event, messages: Sequence[str]) -> None:
        """Log an event and the messages, as they are sent, that it caused; `flush` comes before they are sent."""
        self.log.write(event, messages)

    def flush(self) -> None:
        """Hand what was logged to the operating system."""
        self.log.flush()

    def durable(self, after_seq: int, last_seq: int) -> Iterator[bytes]:
        """The log's lines of these durable messages."""
        return self.log.durable(after_seq, last_seq)

    def release(self, position: int) -> None:
        """Nothing before this sample is needed again."""
        if self.spool is not None and not self._keep_audio:
            samples = max(0, position - MARGIN)
            self.spool.release(samples * self._config.sample_rate // SAMPLE_RATE * self._config.bytes_per_frame)

    def end(self) -> None:
        """The session is over, and its end need not be told again."""
        self.close()
        if self.spool is None:
            return
        if self._keep_audio:
            self.spool.keep_as(self.folder / KEPT)
        else:
            self.spool.discard()

    def close(self) -> None:
        """Let go of the files; writing opens them again."""
        self.log.close()
        if self.spool is not None:
            self.spool.close()
