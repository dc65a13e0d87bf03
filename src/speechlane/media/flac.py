"""FLAC as it arrives (RFC 9639).

Own, because FFmpeg's parser holds ten frames back to be sure where each begins: 2.5 s of sound at 16 kHz with the
usual frames of 4096 samples. Here a frame ends where a header follows whose checksum and number are the next ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from speechlane.media.framing import (
    ByteSource,
    EndOfStreamError,
    Header,
    Packet,
    Units,
    Waiting,
    invalid_audio,
    wrong_beginning,
)
from speechlane.media.mpeg import skip_id3

_MARK = b"fLaC"
_STREAMINFO = 0
_LAST_BLOCK = 0x80
_HEADER_MAX = 16  # bytes: 4, a number of up to 7, block size and rate of up to 2 each, the checksum
_VARIABLE = 0x01  # of the second byte: headers count samples, not frames

_BLOCK_SIZES = {1: 192, **{code: 144 << code for code in range(2, 6)}, **{code: 1 << code for code in range(8, 16)}}
_BLOCK_SIZE_BYTES = {6: 1, 7: 2}
_RATE_BYTES = {12: 1, 13: 2, 14: 2}


@dataclass(frozen=True, slots=True)
class _FrameHeader:
    number: int
    samples: int
    variable: bool

    @property
    def next_number(self) -> int:
        return self.number + (self.samples if self.variable else 1)


def flac_units(source: ByteSource) -> Units:
    """The stream's header, then its frames, each once the next has begun, the stream has ended or is flushed."""
    yield from skip_id3(source)
    head = yield from source.peek(12)
    if head[:4] != _MARK:
        raise wrong_beginning("flac", head)
    yield from source.read(4)
    last, sample_bits = False, 0
    while not last:
        block = yield from source.read(4)
        last, kind, size = bool(block[0] & _LAST_BLOCK), block[0] & 0x7F, int.from_bytes(block[1:], "big")
        if kind == _STREAMINFO:
            info = yield from source.read(size)
            # 20 bits of rate, 3 of channels - 1, 5 of bits - 1 (section 8.2)
            packed = int.from_bytes(info[10:14], "big") >> 4
            sample_bits = ((packed >> 5 & 0x07) + 1) * ((packed & 0x1F) + 2)  # one more: of a difference of channels
            yield Header("flac", info)
        else:
            yield from source.skip(size)
    if not sample_bits:
        raise invalid_audio("The FLAC has no STREAMINFO.")
    while True:
        frame = yield from _frame(source, sample_bits)
        yield Packet(frame)


def _frame(source: ByteSource, sample_bits: int) -> Waiting:
    while len(source) < _HEADER_MAX:
        yield from source.more()
    header = _read_header(source.view(0, _HEADER_MAX))
    if header is None:
        raise invalid_audio("The FLAC is damaged: a frame does not begin where the one before it ends.")
    longest = 2 * (header.samples * sample_bits // 8 + _HEADER_MAX)  # twice what it takes without compression
    sync = source.view(0, 2)
    at = 2
    checksum = _Checksum()
    while True:
        at = source.find(sync, at)
        if at < 0:
            at = max(2, len(source) - 1)
        elif at + _HEADER_MAX <= len(source):
            following = _read_header(source.view(at, at + _HEADER_MAX))
            if following is not None and following.number == header.next_number:
                return (yield from source.read(at))
            at += 1
            continue
        if len(source) > longest:
            raise invalid_audio("The FLAC is damaged: no frame begins where the one before it must have ended.")
        if source.flushing and checksum.holds(source):
            break
        try:
            yield from source.more()
        except EndOfStreamError:
            break
    return (yield from source.read(len(source)))


class _Checksum:
    """The checksum of a frame that is still coming: however many flushes ask, no byte is gone over twice."""

    def __init__(self) -> None:
        self._crc = self._seen = 0

    def holds(self, source: ByteSource) -> bool:
        """Whether what has come of the frame is whole."""
        self._crc, self._seen = _crc16(source.view(self._seen, len(source)), self._crc), len(source)
        return self._crc == 0


def _read_header(data: bytes) -> _FrameHeader | None:
    """RFC 9639, section 9.1; None: no header begins here."""
    size_code, rate_code = data[2] >> 4, data[2] & 0x0F
    if data[0] != 0xFF or data[1] & 0xFE != 0xF8 or size_code == 0 or rate_code == 15 or data[3] & 1:
        return None
    # The number is coded like UTF-8, in up to 7 bytes: leading ones of the first count its bytes, if more than one.
    ones = 8 - (data[4] ^ 0xFF).bit_length()
    width = max(1, ones)
    if ones in {1, 8}:
        return None
    number = data[4] & (0x7F >> ones)
    for byte in data[5 : 4 + width]:
        if byte >> 6 != 0b10:
            return None
        number = number << 6 | byte & 0x3F
    at = 4 + width
    extra = _BLOCK_SIZE_BYTES.get(size_code, 0)
    samples = int.from_bytes(data[at : at + extra], "big") + 1 if extra else _BLOCK_SIZES[size_code]
    end = at + extra + _RATE_BYTES.get(rate_code, 0)
    if _crc8(data[: end + 1]):
        return None
    return _FrameHeader(number, samples, bool(data[1] & _VARIABLE))


def _crc8(data: bytes) -> int:
    """0 over a header with its checksum: x^8 + x^2 + x + 1."""
    crc = 0
    for byte in data:
        crc = _table(8, 0x07)[crc ^ byte]
    return crc


def _crc16(data: bytes, crc: int = 0) -> int:
    """0 over a frame with its checksum: x^16 + x^15 + x^2 + 1. ``crc``: that of what stands before ``data``."""
    table = _table(16, 0x8005)
    for byte in data:
        crc = (crc << 8 & 0xFFFF) ^ table[crc >> 8 ^ byte]
    return crc


@cache
def _table(bits: int, polynomial: int) -> tuple[int, ...]:
    top, mask = 1 << (bits - 1), (1 << bits) - 1
    table = []
    for byte in range(256):
        crc = byte << (bits - 8)
        for _ in range(8):
            crc = (crc << 1 ^ polynomial if crc & top else crc << 1) & mask
        table.append(crc)
    return tuple(table)
