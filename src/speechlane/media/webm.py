"""WebM with Opus as it arrives (RFC 8794 for EBML, RFC 9559 for Matroska, webmproject.org/docs/container).

Browsers' MediaRecorder writes segments and clusters of unknown size, without duration or cues. Nothing here needs a
size of these: ids are unique, so that a cluster's blocks are told from the next cluster without nesting.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TypeVar

from speechlane.media.framing import (
    ByteSource,
    EndOfStreamError,
    Header,
    Packet,
    Unit,
    Units,
    Waiting,
    invalid_audio,
    wrong_beginning,
)
from speechlane.media.opus import OPUS_RATE, opus_header

_Read = TypeVar("_Read")

_EBML = 0x1A45DFA3
_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675
_TRACKS, _TRACK_ENTRY = 0x1654AE6B, 0xAE
_NUMBER, _TYPE, _CODEC, _PRIVATE, _ENCODINGS = 0xD7, 0x83, 0x86, 0x63A2, 0x6D80
_SIMPLE_BLOCK, _BLOCK_GROUP, _BLOCK, _DISCARD = 0xA3, 0xA0, 0xA1, 0x75A2
_PASSED_OVER = frozenset(
    {
        _EBML,
        0x114D9B74,  # SeekHead
        0x1549A966,  # Info
        0x1C53BB6B,  # Cues
        0x1043A770,  # Chapters
        0x1254C367,  # Tags
        0x1941A469,  # Attachments
        0xEC,  # Void
        0xBF,  # CRC-32
        0xE7,  # Timestamp
        0xA7,  # Position
        0xAB,  # PrevSize
        0x5854,  # SilentTracks
    }
)
_VIDEO, _AUDIO = 1, 2
_LACING = 0x06


def webm_units(source: ByteSource) -> Units:
    """The Opus track's header and packets; a recording that begins anew, as of a restarted recorder, goes on."""
    head = yield from source.peek(4)
    if head != _EBML.to_bytes(4, "big"):
        raise wrong_beginning("webm_opus", (yield from source.peek(12)))
    track: int | None = None
    while True:
        element, size = yield from _element(source)
        if element in {_SEGMENT, _CLUSTER}:
            continue  # its children are read like what stands beside it
        if size is None:
            raise invalid_audio(f"The WebM's element {element:#x} has no size.")
        if element == _TRACKS:
            track, header = _opus_track((yield from source.read(size)))
            yield header
        elif element in {_SIMPLE_BLOCK, _BLOCK_GROUP}:
            content = yield from source.read(size)
            yield from (_block(content, track, 0) if element == _SIMPLE_BLOCK else _group(content, track))
        elif element in _PASSED_OVER:
            yield from source.skip(size)
        else:
            raise invalid_audio(f"The WebM is damaged: it has an element of the unknown id {element:#x}.")


def _element(source: ByteSource) -> Generator[None, None, tuple[int, int | None]]:
    """The next element's id and the size of its content, None: unknown."""
    first = (yield from source.peek(1))[0]
    if first < 0x10:
        raise invalid_audio(f"The WebM is damaged: an element begins with the byte {first:#04x}.")
    element = int.from_bytes((yield from source.read(9 - first.bit_length())), "big")
    return element, _vint((yield from _read_vint(source)))


def _read_vint(source: ByteSource) -> Waiting:
    first = (yield from source.peek(1))[0]
    if not first:
        raise invalid_audio("The WebM is damaged: a size is longer than 8 bytes.")
    return (yield from source.read(9 - first.bit_length()))


def _vint(data: bytes) -> int | None:
    """RFC 8794, section 4: the bits behind the first that is set; all of them ones: unknown."""
    marker = 1 << (7 * len(data))
    value = int.from_bytes(data, "big") - marker
    return None if value == marker - 1 else value


def _children(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The elements inside a whole element: id and content."""
    inner = ByteSource()
    inner.feed(content)
    inner.end()
    while len(inner):
        try:
            element, size = _at_once(_element(inner))
            yield element, _at_once(inner.read(size or 0))
        except EndOfStreamError as error:
            raise invalid_audio("The WebM is damaged: an element is longer than the one around it.") from error


def _at_once(reading: Generator[None, None, _Read]) -> _Read:
    """What a reader gives whose bytes are all there."""
    try:
        next(reading)
    except StopIteration as done:
        result: _Read = done.value
        return result
    raise EndOfStreamError


def _opus_track(content: bytes) -> tuple[int, Header]:
    """The number and header of the one Opus track."""
    tracks = [dict(_children(entry)) for element, entry in _children(content) if element == _TRACK_ENTRY]
    kinds = [int.from_bytes(track.get(_TYPE, b""), "big") for track in tracks]
    if _VIDEO in kinds:
        raise invalid_audio("The WebM holds a video track beside the sound; record the audio alone.")
    heard = [track for track, kind in zip(tracks, kinds, strict=True) if kind == _AUDIO]
    if len(heard) != 1:
        raise invalid_audio(f"The WebM holds {len(heard)} audio tracks; one is taken.")
    track = heard[0]
    codec = track.get(_CODEC, b"").rstrip(b"\0").decode("ascii", errors="replace")
    if codec != "A_OPUS":
        raise invalid_audio(f"The WebM's audio is {codec or 'of no named codec'}, not A_OPUS.")
    if _ENCODINGS in track:
        raise invalid_audio("The WebM's audio is compressed or encrypted once more, which is not read here.")
    return int.from_bytes(track.get(_NUMBER, b""), "big"), opus_header(track.get(_PRIVATE, b""))


def _group(content: bytes, track: int | None) -> Iterator[Unit]:
    children = dict(_children(content))
    # Nanoseconds of padding at the packet's end (RFC 9559, section 5.1.3.5.7); what is negative pads the beginning.
    discard_ns = int.from_bytes(children.get(_DISCARD, b""), "big", signed=True)
    if _BLOCK in children:
        yield from _block(children[_BLOCK], track, max(0, round(discard_ns * OPUS_RATE / 1e9)))


def _block(content: bytes, track: int | None, discard: int) -> Iterator[Unit]:
    """Track number, 2 bytes of time, flags, one packet."""
    if track is None:
        raise invalid_audio("The WebM has sound before it says what sound (Tracks).")
    width = 9 - content[0].bit_length() if content and content[0] else 0
    if not width or len(content) < width + 3:
        raise invalid_audio("The WebM is damaged: a block has no header.")
    if _vint(content[:width]) != track:
        return
    if content[width + 2] & _LACING:
        raise invalid_audio("The WebM packs several packets into a block (lacing), which is not read here.")
    yield Packet(content[width + 3 :], discard)
