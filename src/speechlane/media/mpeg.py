"""MP3 and AAC in ADTS as they arrive: FFmpeg's parsers find the frames, behind a tag if there is one."""

from __future__ import annotations

from collections.abc import Generator

import av
from av.codec.context import CodecContext

from speechlane.media.framing import (
    ByteSource,
    Header,
    Packet,
    Units,
    invalid_audio,
    wrong_beginning,
)

_READ = 4_096
_MAX_GARBAGE = 1 << 16
"""Bytes without a frame over which the stream is no sound; the longest frames have 6 KiB (ADTS), 1.7 KiB (MP3)."""

_DECODER_DELAY = 529
"""Samples that an MP3 decoder lags behind, which FFmpeg adds to the encoder's delay."""


def mp3_units(source: ByteSource) -> Units:
    """MPEG audio frames; the Xing or Info frame, which holds no sound, tells the encoder's delay."""
    head = yield from _beginning(source)
    # ISO/IEC 11172-3, section 2.4.1.3: sync, layer III, neither bit rate nor sample rate of the reserved values
    if head[0] != 0xFF or head[1] & 0xE6 != 0xE2 or head[2] >> 4 == 0xF or head[2] & 0x0C == 0x0C:
        raise wrong_beginning("mp3", head)
    begun = False
    for frame in _frames(source, "mp3"):
        if frame is None:
            yield None
        elif begun:
            yield Packet(frame)
        else:
            begun = True
            delay = _info_delay(frame)
            yield Header("mp3float", skip=delay or 0)
            if delay is None:
                yield Packet(frame)


def adts_units(source: ByteSource) -> Units:
    """ADTS frames (ISO/IEC 13818-7, section 6.2)."""
    head = yield from _beginning(source)
    if head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        raise wrong_beginning("adts_aac", head)
    yield Header("aac")
    for frame in _frames(source, "aac"):
        yield None if frame is None else Packet(frame)


def skip_id3(source: ByteSource) -> Generator[None, None, None]:
    """Pass over ID3v2 tags (id3.org, section 3.1): their size is in 7 bits a byte."""
    while (yield from source.peek(3)) == b"ID3":
        tag = yield from source.read(10)
        footer = 10 if tag[5] & 0x10 else 0
        size = sum((byte & 0x7F) << shift for byte, shift in zip(tag[6:], (21, 14, 7, 0), strict=True))
        yield from source.skip(size + footer)


def _beginning(source: ByteSource) -> Generator[None, None, bytes]:
    yield from skip_id3(source)
    return (yield from source.peek(12))


def _frames(source: ByteSource, codec: str) -> Generator[bytes | None, None, None]:
    parser = CodecContext.create(codec, "r")
    garbage = 0
    while True:
        data = yield from source.some(_READ)
        frames = _parsed(parser, data)
        garbage = 0 if frames else garbage + len(data)
        if garbage > _MAX_GARBAGE:
            raise invalid_audio(f"The {codec} stream holds no frame in the last {garbage} bytes.")
        yield from frames


def _parsed(parser: CodecContext, data: bytes) -> list[bytes]:
    try:
        return [bytes(packet) for packet in parser.parse(data)]
    except av.FFmpegError as error:
        raise invalid_audio(f"The stream's frames cannot be told apart ({error.strerror}).") from error


def _info_delay(frame: bytes) -> int | None:
    """The delay that a first frame without sound tells; None: the frame holds sound.

    The layout is that of LAME's info tag: mark, flags, the fields that they name, 9 bytes of version, 12 more, then
    12 bits of delay and 12 of padding.
    """
    mark = max(frame[:64].find(b"Xing"), frame[:64].find(b"Info"))
    if mark < 0:
        return None
    flags = int.from_bytes(frame[mark + 4 : mark + 8], "big")
    fields = sum(size for bit, size in ((1, 4), (2, 4), (4, 100), (8, 4)) if flags & bit)
    at = mark + 8 + fields + 21
    delay = int.from_bytes(frame[at : at + 3], "big") >> 12
    return delay + _DECODER_DELAY if delay else 0
