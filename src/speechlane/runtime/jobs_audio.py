"""A job's recording on this machine: the upload as it arrives, and the decoded working copy that the steps read."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import tempfile
from array import array
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np

from speechlane.audio import Samples
from speechlane.batch.chunking import Span
from speechlane.engine import SpeechGateModel
from speechlane.errors import StorageFailed, TooLarge
from speechlane.media import open_audio

T = TypeVar("T")

UPLOAD_PREFIX = "upload-"
_SAMPLE_BYTES = 4


class Spool:
    """An upload on its way: written to a file of the work folder while it is counted and hashed."""

    def __init__(self, path: Path, file: BinaryIO, max_bytes: int) -> None:
        self.path = path
        self.bytes = 0
        self._file = file
        self._max_bytes = max_bytes
        self._sha256 = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Of what has arrived so far."""
        return self._sha256.hexdigest()

    async def write(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            TooLarge: ``upload_too_large``, field ``file``.
            StorageFailed: ``work_folder_failed`` when there is no room for them.
        """
        self.bytes += len(data)
        check_upload_size(self.bytes, self._max_bytes)
        with _told(self.path):
            await _in_thread(lambda: self._append(data))

    def _append(self, data: bytes) -> None:
        self._sha256.update(data)
        self._file.write(data)

    async def flush(self) -> None:
        """Bring all bytes into the file, so that others can read them there."""
        with _told(self.path):
            await asyncio.to_thread(self._file.flush)


@asynccontextmanager
async def open_spool(work: Path, max_bytes: int) -> AsyncIterator[Spool]:
    """A spool in the work folder; its file is gone when the context is left.

    Raises:
        StorageFailed: ``work_folder_failed`` when the file cannot be made.
    """
    with _told(work):
        file = tempfile.NamedTemporaryFile(prefix=UPLOAD_PREFIX, dir=work)  # noqa: SIM115 - closed below, in any case
    try:
        yield Spool(Path(file.name), file, max_bytes)  # type: ignore[arg-type]  # it is a BinaryIO in all but name
    finally:
        with contextlib.suppress(OSError):  # a last flush may find no room; the file is removed all the same
            file.close()


def check_upload_size(size: int, limit: int) -> None:
    """Refuse an upload over the limit.

    Raises:
        TooLarge: ``upload_too_large``, field ``file``.
    """
    if size > limit:
        raise TooLarge(
            "upload_too_large",
            f"The file is over {limit} bytes, the most that is taken. Send it in parts, or as FLAC or Opus.",
            field="file",
            limit=limit,
        )


@dataclass(frozen=True, slots=True)
class Heard:
    """What decoding told: length in samples, a speech score a frame, and warnings (code, message)."""

    samples: int
    scores: array[float]
    warnings: tuple[tuple[str, str], ...]


class WorkingCopy:
    """A recording decoded to mono float32 at 16 kHz, in a raw file of the work folder.

    It can be made again from the recording at any time and comes out the same, so a restart needs only the input.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def holds(self, samples: int) -> bool:
        """Whether the whole copy of that length is there."""
        return self._path.is_file() and self._path.stat().st_size == samples * _SAMPLE_BYTES

    async def make(self, recording: str, *, track: int, gate: SpeechGateModel, max_duration_ms: int) -> Heard:
        """Decode a recording into the copy and score its speech on the way, block by block, in flat memory.

        Raises:
            InvalidAudio: nothing in it can be decoded.
            InvalidInput: ``no_such_track``.
            TooLarge: ``too_long``.
            StorageFailed: ``work_folder_failed`` when there is no room for it.
        """
        part = self._path.with_suffix(".part")
        scorer, scores, samples = gate.scorer(), array("f"), 0
        try:
            with (
                _told(self._path),
                part.open("wb") as file,
                open_audio(recording, track=track, max_duration_ms=max_duration_ms) as audio,
            ):
                blocks = audio.blocks()

                def advance() -> int:
                    block = next(blocks, None)
                    if block is None:
                        return 0
                    file.write(np.ascontiguousarray(block[0], dtype="<f4").tobytes())
                    scores.extend(scorer.score(block[0]))
                    return len(block[0])

                # A thread hop a block: the loop stays free, and a cancelled job stops within one block.
                while count := await _in_thread(advance):
                    samples += count
                warnings = tuple((warning.code, warning.message) for warning in audio.warnings)
            with _told(self._path):
                part.replace(self._path)
        finally:
            part.unlink(missing_ok=True)
        return Heard(samples, scores, warnings)

    def read(self, span: Span) -> Samples:
        """The samples of one chunk, shape (span.length,)."""
        with _told(self._path):
            return np.fromfile(self._path, dtype="<f4", count=span.length, offset=span.start * _SAMPLE_BYTES)

    def whole(self) -> Samples:
        """All samples, read from the file as they are touched."""
        with _told(self._path):
            return np.memmap(self._path, dtype="<f4", mode="r")

    def remove(self) -> None:
        """Delete the copy, if it is there."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


async def _in_thread(work: Callable[[], T]) -> T:
    """Work on a thread that is waited for even when the asker is cancelled: what it uses is closed right after."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.gather(running, return_exceptions=True)
        raise


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """The system's errors as ours."""
    try:
        yield
    except OSError as error:
        raise StorageFailed(
            "work_folder_failed",
            f"{path} cannot be written or read: {error.strerror or error}. Free space in the data folder, or mend its"
            " permissions.",
            field="data",
        ) from error
