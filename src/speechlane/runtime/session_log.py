"""The file behind a session: its event log, written before anything is sent.

What is written survives the death of the process (it is handed to the operating system line by line); it is not
synced to the disk, so the last moments before a power cut may be missing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from speechlane.errors import StorageFailed
from speechlane.live.config import SessionHead
from speechlane.live.events import Event
from speechlane.live.log import event_line, head_line, message_line
from speechlane.live.messages import Message, encode


class SessionLog:
    """``DATA/live/SESSION/events.jsonl``, append-only.

    Raises (from every method but `close`):
        StorageFailed: ``log_unwritable`` with the file and what to do.
    """

    def __init__(self, folder: Path, head: SessionHead) -> None:
        self.path = folder / head.session / "events.jsonl"
        try:
            self.path.parent.mkdir(parents=True)
            self._file: TextIO = self.path.open("x", encoding="utf-8", newline="\n")
        except OSError as error:
            raise self._failed(error) from error
        try:
            self._write([head_line(head)])
        except StorageFailed:
            # The session is refused: nothing of it stays.
            self.close()
            self.path.unlink(missing_ok=True)
            self.path.parent.rmdir()
            raise

    def write(self, event: Event, messages: Sequence[Message]) -> None:
        """Append an event and the messages that it caused."""
        self._write([event_line(event), *(message_line(encode(message)) for message in messages)])

    def _write(self, lines: Sequence[str]) -> None:
        try:
            self._file.write("".join(lines))
            self._file.flush()
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> StorageFailed:
        return StorageFailed(
            "log_unwritable",
            f"The session's log {self.path} cannot be written ({error.strerror}). "
            "Make room or give the server write access to its data folder, then open a new session.",
        )

    def close(self) -> None:
        """Let go of the file; what was written is with the operating system already."""
        with contextlib.suppress(OSError):
            self._file.close()
