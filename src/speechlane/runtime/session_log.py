"""The file behind a session: its event log, written before anything is sent.

What is written survives the death of the process (it is handed to the operating system line by line); it is not
synced to the disk, so the last moments before a power cut may be missing.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from speechlane.errors import StorageFailed
from speechlane.live.config import SessionHead
from speechlane.live.events import Event
from speechlane.live.log import event_line, head_line, message_line

NAME = "events.jsonl"
_READ_BYTES = 1 << 18
_DURABLE = re.compile(rb'^\{"message":"\{\\"type\\":\\"[a-z.]+\\",\\"seq\\":(\d+)', re.MULTILINE)


class SessionLog:
    """``DATA/live/SESSION/events.jsonl``, append-only, readable by the server's user alone: its head holds the token.

    Raises (from every method but `close`):
        StorageFailed: ``log_unwritable`` with the file and what to do.
    """

    def __init__(self, folder: Path, head: SessionHead | None) -> None:
        """Begin the log of a session in ``folder`` / its id; with no ``head``, go on with the one in ``folder``."""
        self.path = (folder / head.session if head is not None else folder) / NAME
        self._file: int | None = None
        self._unwritten: list[str] = []
        self.size = 0
        """Bytes in the file."""
        if head is None:
            self.size = self._cut_to_last_line()
            return
        try:
            self.path.parent.mkdir(mode=0o700, parents=True)
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
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

    def write(self, event: Event, messages: Sequence[str]) -> None:
        """Append an event and the messages, as they are sent, that it caused; they stand in the file after `flush`."""
        self._unwritten.append(event_line(event))
        self._unwritten.extend(map(message_line, messages))

    def flush(self) -> None:
        """Hand what was appended to the operating system, in one piece."""
        if self._unwritten:
            lines, self._unwritten = self._unwritten, []
            self._write(lines)

    def write_missing(self, messages: Sequence[str]) -> None:
        """Append messages of the last event that a crash kept from being written."""
        self._write([message_line(text) for text in messages])

    def durable(self, after_seq: int, last_seq: int) -> Iterator[bytes]:
        """The lines of the durable messages with ``after_seq`` < ``seq`` <= ``last_seq``, in order.

        Found from the end backwards, so that it costs what it gives, not the length of the session.
        """
        end, offset = self.size, self._before(after_seq)
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                while offset < end:
                    line = file.readline()
                    offset += len(line)
                    found = _DURABLE.match(line)
                    if found and after_seq < int(found[1]) <= last_seq:
                        yield line
        except OSError as error:
            raise self._failed(error) from error

    def _before(self, seq: int) -> int:
        """The offset of a line at or before the first durable message behind ``seq``."""
        offset, rest = self.size, b""
        try:
            with self.path.open("rb") as file:
                while offset:
                    start = max(0, offset - _READ_BYTES)
                    file.seek(start)
                    block = file.read(offset - start) + rest
                    offset, first_line = start, block.find(b"\n") + 1 if start else 0
                    if start and not first_line:
                        rest = block  # one line fills the block: its beginning lies further before
                        continue
                    found = _DURABLE.search(block, first_line)
                    if found and int(found[1]) <= seq + 1:
                        return start + first_line
                    rest = block[:first_line]
        except OSError as error:
            raise self._failed(error) from error
        return 0

    def _cut_to_last_line(self) -> int:
        """Take away what a crash left of a last line; return the length."""
        try:
            with self.path.open("r+b") as file:
                size = file.seek(0, os.SEEK_END)
                while size:
                    start = max(0, size - _READ_BYTES)
                    file.seek(start)
                    behind = file.read(size - start).rfind(b"\n") + 1
                    size = start + behind
                    if behind:
                        break
                file.truncate(size)
                return size
        except OSError as error:
            raise self._failed(error) from error

    def _write(self, lines: Sequence[str]) -> None:
        data = "".join(lines).encode()
        try:
            if self._file is None:
                self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            written = 0
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError as error:
            raise self._failed(error) from error
        self.size += len(data)

    def _failed(self, error: OSError) -> StorageFailed:
        return StorageFailed(
            "log_unwritable",
            f"The session's log {self.path} cannot be written or read ({error.strerror}). Make room or give the server"
            " access to its data folder, then resume the session, or open one where there is none to resume.",
        )

    def close(self) -> None:
        """Write what is not yet, if that can be, and let go of the file; `flush` opens it again."""
        with contextlib.suppress(StorageFailed):
            self.flush()
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = None
