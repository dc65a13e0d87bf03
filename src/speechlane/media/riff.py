"""WAV as it arrives (Microsoft's RIFF; RFC 2361 for the format tags).

Own, because FFmpeg's demuxer first waits for 64 KiB of sound (2 s at 16 kHz) to see whether it is S/PDIF.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from speechlane.media.framing import ByteSource, EndOfStreamError, Header, Packet, Units, invalid_audio, wrong_beginning

# A writer that cannot go back to its header leaves one of these as the length of the sound: it goes on to the end.
_UNKNOWN = 0x7FFF_0000

_EXTENSIBLE = 0xFFFE
_CODECS = {
    (1, 8): "pcm_u8",
    (1, 16): "pcm_s16le",
    (1, 24): "pcm_s24le",
    (1, 32): "pcm_s32le",
    (3, 32): "pcm_f32le",
    (3, 64): "pcm_f64le",
    (6, 8): "pcm_alaw",
    (7, 8): "pcm_mulaw",
}
"""Format tag and bits a sample."""

_PIECE = 1 << 16
"""Bytes of sound in one packet, at most."""


@dataclass(frozen=True, slots=True)
class _Format:
    codec: str
    channels: int
    sample_rate: int
    frame_bytes: int


def wav_units(source: ByteSource) -> Units:
    """One WAV after another, all of one format: some recorders send each slice as a file of its own."""
    current: _Format | None = None
    while True:
        head = yield from source.peek(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            raise wrong_beginning("wav", head)
        yield from source.read(12)
        known = yield from _format(source)
        if current is None:
            current = known
            yield Header(known.codec, sample_rate=known.sample_rate, channels=known.channels)
        elif known != current:
            raise invalid_audio("A second WAV follows the first in another format.")
        yield from _sound(source, current)


def _format(source: ByteSource) -> Generator[None, None, _Format]:
    """The format chunk, which stands before the sound."""
    while True:
        head = yield from source.read(8)
        size = int.from_bytes(head[4:], "little")
        if head[:4] == b"fmt ":
            return _read_format((yield from source.read(size + size % 2)))
        if head[:4] == b"data":
            raise invalid_audio("The WAV has no format before its sound.")
        yield from source.skip(size + size % 2)


def _read_format(chunk: bytes) -> _Format:
    if len(chunk) < 16:
        raise invalid_audio(f"The WAV's format chunk has {len(chunk)} bytes; 16 at least are due.")
    tag, channels, rate = (int.from_bytes(chunk[at : at + size], "little") for at, size in ((0, 2), (2, 2), (4, 4)))
    bits = int.from_bytes(chunk[14:16], "little")
    if tag == _EXTENSIBLE and len(chunk) >= 26:
        tag = int.from_bytes(chunk[24:26], "little")  # the first two bytes of the sub-format's GUID
    codec = _CODECS.get((tag, bits))
    if codec is None:
        raise invalid_audio(f"The WAV holds format {tag:#06x} of {bits} bits, which is not read here.")
    if not channels:
        raise invalid_audio("The WAV declares no channels.")
    return _Format(codec, channels, rate, channels * bits // 8)


def _sound(source: ByteSource, known: _Format) -> Units:
    """The sound of one file, and what stands behind it, up to the next file or the end."""
    while True:
        head = yield from source.peek(8)
        if head[:4] == b"RIFF":
            return
        yield from source.read(8)
        size = int.from_bytes(head[4:], "little")
        if head[:4] != b"data":
            yield from source.skip(size + size % 2)
            continue
        left = None if size == 0 or size >= _UNKNOWN else size
        while left is None or left >= known.frame_bytes:
            sound = yield from source.some(min(left or _PIECE, _PIECE), known.frame_bytes)
            left = None if left is None else left - len(sound)
            yield Packet(sound)
        try:
            yield from source.skip(left + size % 2)
        except EndOfStreamError:
            return
