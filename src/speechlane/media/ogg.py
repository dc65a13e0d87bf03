"""Ogg with Opus as it arrives (RFC 3533 for pages, RFC 7845 for Opus in them)."""

from __future__ import annotations

from dataclasses import dataclass, field

from speechlane.media.framing import MAX_UNIT, ByteSource, Packet, Units, invalid_audio, wrong_beginning
from speechlane.media.opus import HEAD_MARK, opus_header, packet_samples

_MARK = b"OggS"
_CONTINUED, _FIRST, _LAST = 0x01, 0x02, 0x04
_LACING_FULL = 255  # a segment of this size is not its packet's last


@dataclass(slots=True)
class _Stream:
    """One logical stream: its packets so far, and how far its pages say it has come."""

    serial: int
    packets: int = 0
    partial: bytes = b""
    granule: int = 0
    ended: bool = False
    ready: list[bytes] = field(default_factory=list)

    def take(self, sizes: bytes, body: bytes) -> None:
        """Cut a page's body into packets; the last may go on in the next page."""
        start = 0
        for size in sizes:
            self.partial += body[start : start + size]
            start += size
            if size < _LACING_FULL:
                self.ready.append(self.partial)
                self.partial = b""
        if len(self.partial) > MAX_UNIT:
            raise invalid_audio(f"An Ogg packet has more than {MAX_UNIT} bytes.")


def ogg_units(source: ByteSource) -> Units:
    """The Opus header and packets; streams chained one behind another, as of a radio station, go on."""
    head = yield from source.peek(4)
    if head != _MARK:
        raise wrong_beginning("ogg_opus", (yield from source.peek(12)))
    stream: _Stream | None = None
    while True:
        page = yield from source.read(27)
        if page[:4] != _MARK or page[4]:
            raise invalid_audio("The Ogg stream is damaged: a page does not begin where the one before it ends.")
        flags, granule = page[5], int.from_bytes(page[6:14], "little", signed=True)
        serial = int.from_bytes(page[14:18], "little")
        sizes = yield from source.read(page[26])
        body = yield from source.read(sum(sizes))
        if flags & _FIRST:
            if stream is not None and not stream.ended:
                raise invalid_audio("The Ogg stream holds several tracks, such as video; send the audio alone.")
            if not body.startswith(HEAD_MARK):
                raise invalid_audio(f"The Ogg stream's first track is no Opus: it begins {body[:8]!r}.")
            stream = _Stream(serial)
        elif stream is None or serial != stream.serial:
            raise invalid_audio("The Ogg stream has a page of a track that did not begin.")
        if not flags & _CONTINUED:
            stream.partial = b""
        stream.take(sizes, body)
        stream.ended = bool(flags & _LAST)
        yield from _units(stream, granule)


def _units(stream: _Stream, granule: int) -> Units:
    """A page's packets: the header, the comments, which are passed over, then sound."""
    ready, stream.ready = stream.ready, []
    sound = []
    for packet in ready:
        stream.packets += 1
        if stream.packets == 1:
            yield opus_header(packet)
        elif stream.packets > 2:
            sound.append(packet)
    padding = _padding(stream, sound, granule) if stream.ended else 0
    discards: list[int] = []
    for packet in reversed(sound):  # padding longer than the last packet takes from those before it
        discards.append(min(padding, packet_samples(packet)))
        padding -= discards[-1]
    if granule >= 0 and sound:
        stream.granule = granule
    for packet, discard in zip(sound, reversed(discards), strict=True):
        yield Packet(packet, discard)


def _padding(stream: _Stream, sound: list[bytes], granule: int) -> int:
    """RFC 7845, section 4.4: the last page's position says how many of its samples belong to the sound."""
    coded = sum(map(packet_samples, sound))
    kept = granule - stream.granule
    return coded - kept if 0 <= kept < coded else 0
