"""Wire formats of live audio: raw samples, interleaved, and containers (docs/protocol.md, section 1)."""

from __future__ import annotations

from dataclasses import dataclass

from speechlane.errors import InvalidInput

BYTES_PER_SAMPLE = {"pcm_s16le": 2, "pcm_f32le": 4, "mulaw": 1, "alaw": 1}
"""The encodings offered and the size of one sample of one channel."""

CONTAINERS = ("wav", "flac", "ogg_opus", "webm_opus", "mp3", "adts_aac")
"""Encodings whose own headers tell the sample rate and the channels."""

ENCODINGS = (*BYTES_PER_SAMPLE, *CONTAINERS)

MIN_SAMPLE_RATE = 8_000
MAX_SAMPLE_RATE = 48_000
MAX_CHANNELS = 8


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """What the bytes of a raw stream are: ``encoding``, ``sample_rate`` in Hz, ``channels`` interleaved.

    Raises:
        InvalidInput: ``unsupported_encoding``, ``invalid_sample_rate`` or ``invalid_channels``, with the field and
            what is allowed.
    """

    encoding: str
    sample_rate: int
    channels: int

    def __post_init__(self) -> None:
        if self.encoding not in BYTES_PER_SAMPLE:
            raise unsupported_encoding(self.encoding)
        if not MIN_SAMPLE_RATE <= self.sample_rate <= MAX_SAMPLE_RATE:
            raise InvalidInput(
                "invalid_sample_rate",
                f"audio.sample_rate is {self.sample_rate} Hz; send {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz.",
                field="audio.sample_rate",
                limit=f"{MIN_SAMPLE_RATE}..{MAX_SAMPLE_RATE}",
            )
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise InvalidInput(
                "invalid_channels",
                f"audio.channels is {self.channels}; send 1 to {MAX_CHANNELS} interleaved channels.",
                field="audio.channels",
                limit=f"1..{MAX_CHANNELS}",
            )

    @property
    def bytes_per_frame(self) -> int:
        """Size of one sample frame: one sample of every channel."""
        return BYTES_PER_SAMPLE[self.encoding] * self.channels


@dataclass(frozen=True, slots=True)
class ContainerFormat:
    """A live stream in a container, whose header speaks for itself.

    Raises:
        InvalidInput: ``unsupported_encoding``, with the field and what is allowed.
    """

    encoding: str

    def __post_init__(self) -> None:
        if self.encoding not in CONTAINERS:
            raise unsupported_encoding(self.encoding)


def unsupported_encoding(encoding: str) -> InvalidInput:
    """The refusal of an encoding that is not one of `ENCODINGS`."""
    return InvalidInput(
        "unsupported_encoding",
        f"audio.encoding {encoding!r} is not known. Send one of: {', '.join(ENCODINGS)}.",
        field="audio.encoding",
        limit=list(ENCODINGS),
    )
