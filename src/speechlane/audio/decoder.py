"""Bytes of a live stream, cut anywhere, to mono float32 samples at 16 kHz, one timeline a channel."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple, Protocol

import numpy as np

from speechlane.audio.format import AudioFormat
from speechlane.audio.frames import Frames, downmix, sanitize, split
from speechlane.audio.resampler import Resampler
from speechlane.audio.samples import Samples

_PCM_STEP = np.float32(1 / 32768)  # a power of two: products are exact


class Tail(NamedTuple):
    """What `StreamDecoder.finish` brings out: the last samples of each channel, and the bytes that made no frame."""

    samples: list[Samples]
    dropped_bytes: int


class LiveDecoder(Protocol):
    """Any stream's bytes, cut anywhere, to samples at 16 kHz; fed the same bytes again, it gives the same samples."""

    channels: int
    """How many timelines come out: the length of every list of samples."""
    blocking: bool
    """Whether a piece may take milliseconds, so that it is called off an event loop."""

    def pieces(self, data: bytes) -> Iterator[list[Samples]]:
        """Take the stream's next bytes; give the samples that are ready, one array a channel, all of one length.

        Of compressed sound a few bytes may hold hours: the caller takes one piece after another, as it has room, and
        all of them before the next bytes.

        Raises:
            InvalidAudio: the bytes are not the stream that was announced.
        """

    def flush(self) -> list[Samples]:
        """Bring out what is held back, for ``audio.flush``; the stream goes on. Raises as `pieces` does."""

    def finish(self) -> Tail:
        """Bring out the rest. Raises as `pieces` does."""


class StreamDecoder:
    """Decodes one live stream of raw samples; ``mix`` averages its channels into one, else each keeps its own timeline.

    How the bytes are cut changes no sample. A partial sample frame waits for its rest. Output lags input by what
    `Resampler` states for the sample rate (nothing at 16 kHz).
    """

    blocking = False

    def __init__(self, audio_format: AudioFormat, *, mix: bool) -> None:
        self.format = audio_format
        self.channels = 1 if mix else audio_format.channels
        self._mix = mix
        self._resampler = Resampler(audio_format.sample_rate, self.channels)
        self._partial = b""

    def feed(self, data: bytes) -> list[Samples]:
        """Take the stream's next bytes; give the samples that are ready, one array a channel, all of one length."""
        data = self._partial + data
        whole = len(data) - len(data) % self.format.bytes_per_frame
        self._partial = data[whole:]
        frames = decode_frames(data[:whole], self.format)
        return split(self._resampler.process(downmix(frames) if self._mix else frames))

    def pieces(self, data: bytes) -> Iterator[list[Samples]]:
        """What `feed` gives, in one piece: raw samples never swell."""
        yield self.feed(data)

    def flush(self) -> list[Samples]:
        """Bring out what the resampler holds back, for ``audio.flush``; the stream goes on."""
        return split(self._resampler.flush())

    def finish(self) -> Tail:
        """Bring out the rest; a partial sample frame is dropped and its bytes counted."""
        return Tail(self.flush(), len(self._partial))


def decode_frames(data: bytes, audio_format: AudioFormat) -> Frames:
    """Whole sample frames as float32 of shape (n, channels), within -1..1 (floats: see `sanitize`)."""
    match audio_format.encoding:
        case "pcm_s16le":
            samples: Samples = np.multiply(np.frombuffer(data, "<i2"), _PCM_STEP, dtype=np.float32)
        case "pcm_f32le":
            samples = sanitize(np.frombuffer(data, "<f4"))
        case "mulaw":
            samples = mulaw_table()[np.frombuffer(data, np.uint8)]
        case _:
            samples = alaw_table()[np.frombuffer(data, np.uint8)]
    return samples.reshape(-1, audio_format.channels)


@cache
def mulaw_table() -> Samples:
    """The 256 values of mu-law, ITU-T G.711 (1988) table 2, its 14-bit values scaled to 1."""
    code = ~np.arange(256) & 0xFF
    magnitude = ((((code & 0x0F) << 1) + 33) << (code >> 4 & 0x07)) - 33
    return (np.where(code & 0x80, -magnitude, magnitude) / 8192).astype(np.float32)


@cache
def alaw_table() -> Samples:
    """The 256 values of A-law, ITU-T G.711 (1988) table 1, its 13-bit values scaled to 1."""
    code = np.arange(256) ^ 0x55  # even bits are inverted on the wire
    segment = code >> 4 & 0x07
    step = ((code & 0x0F) << 1) + 1
    magnitude = np.where(segment == 0, step, (step + 32) << np.maximum(segment - 1, 0))
    return (np.where(code & 0x80, magnitude, -magnitude) / 4096).astype(np.float32)
