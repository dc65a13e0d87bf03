"""A session's audio on disk, byte for byte as the client sent it, until the session has ended.

What is written survives the death of the process (each frame is handed to the operating system before the core hears
of it); it is not synced to the disk, so the last moments before a power cut may be missing.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from speechlane.errors import StorageFailed

READ_BYTES = 1 << 18
"""What `AudioSpool.read` gives at a time."""


class AudioSpool:
    """``DATA/live/SESSION/spool/``: piece files named by the stream's byte that they begin with.

    Args:
        folder: made when the first byte comes; pieces that it holds already are taken up.
        piece_bytes: length of a piece, or None for a single one. Of raw samples this is a whole number of seconds, so
            that a decoder may begin at any piece; of a container, whose headers stand at its front, there is one piece.

    Raises (from every method but `close`):
        StorageFailed: ``spool_unusable`` with the folder and what to do.
    """

    def __init__(self, folder: Path, piece_bytes: int | None) -> None:
        self._folder, self._piece_bytes = folder, piece_bytes
        self._file: int | None = None
        self._starts: deque[int] = deque()
        self.end = 0
        """Bytes of the stream that are stored, the released ones counted."""
        try:
            self._take_up()
        except OSError as error:
            raise self._failed(error) from error

    @property
    def start(self) -> int:
        """The first byte of the stream that is still held."""
        return self._starts[0] if self._starts else self.end

    def append(self, data: bytes) -> None:
        """Store the stream's next bytes; when it fails, none of them count."""
        end = self.end
        try:
            while data:
                file, room = self._piece(end)
                written = os.write(file, data[:room])
                end, data = end + written, data[written:]
        except OSError as error:
            self._cut_back()
            raise self._failed(error) from error
        self.end = end

    def release(self, before: int) -> None:
        """Delete the pieces that end at or before this byte of the stream."""
        while len(self._starts) > 1 and self._starts[1] <= before:
            self._path(self._starts.popleft()).unlink(missing_ok=True)

    def read(self) -> Iterator[bytes]:
        """All that is held, from `start` on."""
        try:
            for start in self._starts:
                with self._path(start).open("rb") as file:
                    while data := file.read(READ_BYTES):
                        yield data
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Let go of the file; what was written is with the operating system already."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = None

    def discard(self) -> None:
        """The session is over: delete everything, the end first, so that a kill amid it leaves no gap."""
        self.close()
        with contextlib.suppress(OSError):
            for piece in sorted(self._folder.iterdir(), reverse=True):
                piece.unlink(missing_ok=True)
            self._folder.rmdir()
        self._starts.clear()

    def keep_as(self, folder: Path) -> None:
        """The session is over: keep its audio under another name."""
        self.close()
        try:
            self._folder.rename(folder)
        except OSError as error:
            raise self._failed(error) from error

    def _take_up(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for piece in sorted(self._folder.iterdir()):
            start = int(piece.stem)
            if self._starts and start != self.end:
                raise OSError(0, f"its pieces leave a gap before byte {start}")
            self._starts.append(start)
            self.end = start + piece.stat().st_size

    def _piece(self, end: int) -> tuple[int, int | None]:
        """The file that the byte ``end`` belongs to, and how many bytes it has room for (None: any number)."""
        if not self._starts or (self._piece_bytes is not None and end - self._starts[-1] >= self._piece_bytes):
            self.close()
            self._starts.append(end)
        if self._file is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._file = os.open(self._path(self._starts[-1]), flags, 0o600)
        return self._file, None if self._piece_bytes is None else self._starts[-1] + self._piece_bytes - end

    def _cut_back(self) -> None:
        """Take back what was written of an append that failed."""
        self.close()
        with contextlib.suppress(OSError):
            while self._starts and self._starts[-1] >= self.end:
                self._path(self._starts.pop()).unlink(missing_ok=True)
            if self._starts:
                os.truncate(self._path(self._starts[-1]), self.end - self._starts[-1])

    def _path(self, start: int) -> Path:
        return self._folder / f"{start:015d}.bytes"

    def _failed(self, error: OSError) -> StorageFailed:
        return StorageFailed(
            "spool_unusable",
            f"The session's audio in {self._folder} cannot be stored or read ({error.strerror or error}). Make room or"
            " give the server access to its data folder, then resume the session.",
        )
