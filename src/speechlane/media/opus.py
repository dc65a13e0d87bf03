"""Opus in its containers: the header and the length of a packet (RFC 7845 section 5.1, RFC 6716 section 3.1)."""

from __future__ import annotations

from speechlane.media.framing import Header, invalid_audio

OPUS_RATE = 48_000
"""Hz: what Opus always decodes to; positions and padding are counted at it."""

HEAD_MARK = b"OpusHead"

# Samples of one frame: SILK at 10, 20, 40, 60 ms; hybrid at 10, 20 ms; CELT at 2.5, 5, 10, 20 ms.
_SILK, _HYBRID, _CELT = (480, 960, 1920, 2880), (480, 960), (120, 240, 480, 960)
_FRAME_SAMPLES = _SILK * 3 + _HYBRID * 2 + _CELT * 4


def opus_header(head: bytes) -> Header:
    """The header from an identification header; FFmpeg's decoder takes pre-skip and gain from it."""
    if not head.startswith(HEAD_MARK) or len(head) < 19:
        raise invalid_audio("The Opus identification header (OpusHead) is missing or cut off.")
    return Header("opus", head, sample_rate=OPUS_RATE, channels=head[9])


def packet_samples(packet: bytes) -> int:
    """Samples of a packet; 0 where it is too short to tell."""
    if not packet:
        return 0
    frames = (1, 2, 2)[packet[0] & 3] if packet[0] & 3 < 3 else (packet[1] & 0x3F if len(packet) > 1 else 0)
    return frames * _FRAME_SAMPLES[packet[0] >> 3]
