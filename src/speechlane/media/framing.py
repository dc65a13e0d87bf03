"""What the readers of streamed containers share: bytes as they come, the units they find, and how they refuse.

A reader is a generator, in the manner of websockets' ``StreamReader``: it takes bytes with ``yield from
source.read(n)``, which yields None while they have not come, and yields a `Unit` once one is whole. So each format is
read top to bottom, no thread waits, and how the bytes were cut changes nothing.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from speechlane.errors import InvalidAudio

MAX_UNIT = 1 << 22
"""Bytes of one packet, frame or element, tags with a picture among them; more is damage."""

MAX_WITHOUT_SOUND = 1 << 24
"""Bytes in a row that may bring no sound, such as a picture in FLAC, which has 16 MiB at most. A live stream is stored
as it comes: nothing else bounds what is not heard."""


@dataclass(frozen=True, slots=True)
class Header:
    """A stream begins: FFmpeg's name of its ``codec`` and what this must know before the first packet.

    ``skip``: samples at the start that are the encoder's delay, where the codec's own header does not tell.
    ``sample_rate`` in Hz and ``channels`` only where packets do not tell (PCM).
    """

    codec: str
    extradata: bytes = b""
    skip: int = 0
    sample_rate: int | None = None
    channels: int | None = None


@dataclass(frozen=True, slots=True)
class Packet:
    """What the codec decodes at a time; of its samples the last ``discard`` are padding."""

    data: bytes
    discard: int = 0


Unit = Header | Packet
Units = Generator[Unit | None, None, None]
"""None: more bytes are needed first."""
Waiting = Generator[None, None, bytes]


class EndOfStreamError(Exception):
    """Raised into a reader that waits for bytes when none will come."""


class ByteSource:
    """The bytes that have come and were not read yet."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._ended = False
        self._unheard = 0
        self.flushing = False
        """Whether all that is whole should come out now, even where its end is otherwise seen by what follows."""

    def __len__(self) -> int:
        return len(self._bytes)

    def feed(self, data: bytes) -> None:
        self._bytes += data

    def end(self) -> None:
        """No more will come."""
        self._ended = True

    def heard(self) -> None:
        """What was read so far brought sound."""
        self._unheard = 0

    def more(self) -> Generator[None, None, None]:
        """Wait until something has come or was asked for."""
        if self._ended:
            raise EndOfStreamError
        yield

    def peek(self, size: int) -> Waiting:
        """The next ``size`` bytes, which stay."""
        while len(self._bytes) < size:
            yield from self.more()
        return bytes(self._bytes[:size])

    def read(self, size: int) -> Waiting:
        """The next ``size`` bytes.

        Raises:
            InvalidAudio: more than `MAX_UNIT`, or more than `MAX_WITHOUT_SOUND` since the last sound.
        """
        if size > MAX_UNIT:
            raise invalid_audio(f"The stream announces {size} bytes in one piece; at most {MAX_UNIT} are taken.")
        data = yield from self.peek(size)
        del self._bytes[:size]
        self._unheard += size
        if self._unheard > MAX_WITHOUT_SOUND:
            raise invalid_audio(
                f"The stream brought no sound in {MAX_WITHOUT_SOUND} bytes, the most that are passed over."
            )
        return data

    def some(self, limit: int, step: int = 1) -> Waiting:
        """What has come, a multiple of ``step`` bytes, at least one step and at most ``limit``."""
        while len(self._bytes) < step:
            yield from self.more()
        size = min(len(self._bytes), limit)
        return (yield from self.read(size - size % step))

    def skip(self, size: int) -> Generator[None, None, None]:
        """Pass over the next ``size`` bytes without keeping them."""
        while size:
            passed = yield from self.some(min(size, 1 << 16))
            size -= len(passed)

    def find(self, pattern: bytes, start: int) -> int:
        """Where ``pattern`` begins at or behind ``start``, counted from the next byte; -1: not there yet."""
        return self._bytes.find(pattern, start)

    def view(self, start: int, end: int) -> bytes:
        """A copy of part of what has come."""
        return bytes(self._bytes[start:end])


# How a file begins, at which byte: what a client may have sent instead of what it named.
_BEGINNINGS = (
    (0, b"RIFF", "WAV"),
    (0, b"RF64", "WAV of 64 bits (RF64)"),
    (0, b"fLaC", "FLAC"),
    (0, b"OggS", "Ogg"),
    (0, b"\x1a\x45\xdf\xa3", "WebM or Matroska"),
    (0, b"ID3", "MP3 with a tag"),
    (4, b"ftyp", "MP4"),
)


def wrong_beginning(encoding: str, head: bytes) -> InvalidAudio:
    """The error for a stream that does not begin as its encoding does."""
    for offset, mark, name in _BEGINNINGS:
        if head[offset:].startswith(mark):
            return invalid_audio(f"The audio was announced as {encoding} but begins as {name}.")
    return invalid_audio(f"The audio was announced as {encoding} but begins with the bytes {head[:8].hex(' ')}.")


def invalid_audio(fact: str) -> InvalidAudio:
    """``invalid_audio``, field ``audio.encoding``: the fact, then what to do."""
    return InvalidAudio(
        "invalid_audio",
        f"{fact} Open a new session with the audio.encoding that the bytes are in, or send raw samples.",
        field="audio.encoding",
    )
