"""Opening a media file with FFmpeg's libraries: nothing else on the machine is opened, and each fault has its name.

A "recording" may be a playlist or script (HLS, DASH, SDP, ffconcat ...) that makes FFmpeg open other local files or
URLs. Two walls stand against it: every protocol is switched off, ``file:`` included, because FFmpeg is handed a file
that is open already; and that file has no name, which some of these formats need and relative paths start from.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import av
from av.container import InputContainer

from speechlane.errors import InvalidAudio, InvalidInput

NO_PROTOCOL = "none"
"""An entry of ``protocol_whitelist`` that matches no protocol."""

READ_BUFFER = 1 << 17  # bytes; each read crosses from FFmpeg into Python


class _Nameless:
    """An open file without its name, so that only the bytes decide what it is, and no path is relative to it."""

    def __init__(self, file: BinaryIO) -> None:
        self.read = file.read
        self.seek = file.seek
        self.tell = file.tell


# How files begin that FFmpeg certainly knows: if one cannot be opened, it is damaged rather than no recording.
_SIGNATURES = {
    "WAV": (0, b"RIFF"),
    "WAV (RF64)": (0, b"RF64"),
    "AIFF": (0, b"FORM"),
    "FLAC": (0, b"fLaC"),
    "Ogg": (0, b"OggS"),
    "MP3": (0, b"ID3"),
    "Matroska or WebM": (0, b"\x1a\x45\xdf\xa3"),
    "MP4": (4, b"ftyp"),
}


@contextmanager
def open_container(path: str | os.PathLike[str]) -> Iterator[tuple[InputContainer, BinaryIO]]:
    """The open container and the file under it; both are closed on leaving.

    Raises:
        InvalidInput: ``file_not_found`` or ``file_unreadable``, field ``file``.
        InvalidAudio: ``empty_file``, ``not_audio`` or ``unreadable_audio``, field ``file``.
    """
    with _open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise InvalidAudio("empty_file", "The file has 0 bytes. Send the recording itself.", field="file", limit=1)
        head = file.read(16)
        file.seek(0)
        try:
            container = av.open(
                _Nameless(file),
                "r",
                options={"protocol_whitelist": NO_PROTOCOL},
                metadata_errors="replace",
                buffer_size=READ_BUFFER,
            )
        except av.FFmpegError as error:
            raise _cannot_open(head, size, error) from error
        with container:
            yield container, file


def _open_file(path: str | os.PathLike[str]) -> BinaryIO:
    try:
        return Path(path).open("rb")
    except FileNotFoundError as error:
        raise InvalidInput("file_not_found", f"There is no file {path}. Check the path.", field="file") from error
    except OSError as error:
        raise InvalidInput(
            "file_unreadable",
            f"{path} cannot be read: {error.strerror}. Name a file that this program may read.",
            field="file",
        ) from error


def _cannot_open(head: bytes, size: int, error: av.FFmpegError) -> InvalidAudio:
    for name, (offset, signature) in _SIGNATURES.items():
        if head[offset:].startswith(signature):
            return InvalidAudio(
                "unreadable_audio",
                f"The file begins as {name} but cannot be read ({size} bytes; {error.strerror}): it is damaged or cut "
                "off. Send the whole file.",
                field="file",
            )
    return InvalidAudio(
        "not_audio",
        f"The file ({size} bytes) is no audio or video that FFmpeg's libraries can read, and playlists are not "
        "followed. Send the recording itself, for example as WAV, FLAC, MP3, Ogg, MP4 or WebM.",
        field="file",
    )
