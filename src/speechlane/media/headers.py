"""What a file's own header says of its length, where FFmpeg's libraries do not tell: is part of the file missing?

FFmpeg plays a file that was cut off to its end and takes that for the whole. Common formats say otherwise in their
own bytes: RIFF and IFF (WAV, AIFF) give the size of the whole, Matroska and WebM that of the segment, the Xing tag of
MP3 that of the audio, and the last page of an Ogg stream bears a mark.
"""

from __future__ import annotations

import os
from typing import BinaryIO

# Writers that cannot go back to the header (a pipe, a recorder cut off) put a size near the field's end there.
_UNKNOWN_SIZE = 0x7FFF_0000

_EBML = b"\x1a\x45\xdf\xa3"
_MATROSKA_SEGMENT = b"\x18\x53\x80\x67"

_OGG_PAGE_MAX = 65_307  # bytes, RFC 3533 section 6
_OGG_HEADER = 27
_OGG_END_OF_STREAM = 0x04


def is_cut_off(file: BinaryIO) -> bool:
    """Whether the file is shorter than its header declares; False where the header tells nothing.

    The file's position is the same afterwards.
    """
    here = file.tell()
    size = file.seek(0, os.SEEK_END)
    try:
        file.seek(0)
        head = file.read(12)
        if head[:4] == b"RIFF":
            return _declares_more(int.from_bytes(head[4:8], "little"), size)
        if head[:4] == b"FORM":
            return _declares_more(int.from_bytes(head[4:8], "big"), size)
        if head[:4] == b"OggS":
            return not _ends_with_last_page(file, size)
        if head[:4] == _EBML:
            return _matroska_is_cut_off(file, size)
        return _mp3_is_cut_off(file, head, size)
    finally:
        file.seek(here)


def _declares_more(declared: int, size: int) -> bool:
    return 0 < declared < _UNKNOWN_SIZE and declared + 8 > size


def _ends_with_last_page(file: BinaryIO, size: int) -> bool:
    """RFC 3533, section 6: byte 5 of a page holds its flags, byte 26 counts its segments, whose sizes follow."""
    file.seek(max(0, size - _OGG_PAGE_MAX))
    end = file.read()
    page = end[max(0, end.rfind(b"OggS")) :]
    if len(page) < _OGG_HEADER or len(page) < _OGG_HEADER + page[26]:
        return False
    sizes = page[_OGG_HEADER : _OGG_HEADER + page[26]]
    return bool(page[5] & _OGG_END_OF_STREAM) and len(page) >= _OGG_HEADER + len(sizes) + sum(sizes)


def _matroska_is_cut_off(file: BinaryIO, size: int) -> bool:
    """RFC 8794: the EBML header, then the one segment; each is an id, a size and that many bytes."""
    file.seek(len(_EBML))
    header = _ebml_size(file)
    if header is None:
        return False
    file.seek(header, os.SEEK_CUR)
    if file.read(len(_MATROSKA_SEGMENT)) != _MATROSKA_SEGMENT:
        return False
    segment = _ebml_size(file)
    return segment is not None and file.tell() + segment > size


def _ebml_size(file: BinaryIO) -> int | None:
    """RFC 8794, section 4: the leading zero bits of the first byte count the bytes that follow; all ones: unknown."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    width = 9 - first[0].bit_length()
    marker = 1 << (7 * width)
    value = int.from_bytes(first + file.read(width - 1), "big") - marker
    return None if value == marker - 1 else value


def _mp3_is_cut_off(file: BinaryIO, head: bytes, size: int) -> bool:
    """The Xing (VBR) or Info (CBR) tag lies in the first frame, behind an ID3v2 tag with its "synchsafe" size."""
    start = 0
    if head[:3] == b"ID3":
        start = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    file.seek(start)
    frame = file.read(256)
    if frame[:1] != b"\xff":
        return False
    tag = max(frame.find(b"Xing"), frame.find(b"Info"))
    flags = int.from_bytes(frame[tag + 4 : tag + 8], "big") if tag >= 0 else 0
    if not flags & 0x02:
        return False
    at = tag + 8 + (4 if flags & 0x01 else 0)
    return start + int.from_bytes(frame[at : at + 4], "big") > size
