"""Containers decoded while they arrive, for the live lane: bytes cut anywhere in, samples at 16 kHz out.

A reader of the format (riff, flac, ogg, webm, mpeg) finds the packets, FFmpeg's codec decodes them, one at a time and
at once: no probing, no thread, nothing held back but what the format itself needs (docs/decisions/0012-containers.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.codec.context import CodecContext
from av.packet import Packet as CodedPacket
from av.stream import Stream

from speechlane.audio import AudioFormat, Resampler, Samples, StreamDecoder, Tail
from speechlane.audio.decoder import LiveDecoder
from speechlane.audio.format import MAX_CHANNELS, MAX_SAMPLE_RATE, MIN_SAMPLE_RATE, ContainerFormat
from speechlane.audio.frames import Frames, downmix, split
from speechlane.errors import InvalidAudio
from speechlane.media.flac import flac_units
from speechlane.media.framing import ByteSource, EndOfStreamError, Header, Unit, Units, invalid_audio
from speechlane.media.mpeg import adts_units, mp3_units
from speechlane.media.ogg import ogg_units
from speechlane.media.riff import wav_units
from speechlane.media.samples import to_floats
from speechlane.media.webm import webm_units

_READERS: dict[str, Callable[[ByteSource], Units]] = {
    "wav": wav_units,
    "flac": flac_units,
    "ogg_opus": ogg_units,
    "webm_opus": webm_units,
    "mp3": mp3_units,
    "adts_aac": adts_units,
}

_MAX_DAMAGED = 20
"""Packets in a row that do not decode: one or two are usual where an MP3 was joined midway, more are no sound."""

LIBRARIES = f"PyAV {av.__version__}, libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))}"
"""What decodes, for the record."""


def open_decoder(audio_format: AudioFormat | ContainerFormat, timelines: int) -> LiveDecoder:
    """The decoder of a live stream; one timeline mixes all channels."""
    if isinstance(audio_format, AudioFormat):
        return StreamDecoder(audio_format, mix=timelines == 1)
    return ContainerDecoder(audio_format, timelines=timelines)


class ContainerDecoder:
    """Decodes one container; ``timelines`` is 1 to mix its channels, else their number, which its header must bear.

    How the bytes are cut changes no sample. Whatever is wrong raises `InvalidAudio` (``invalid_audio``, field
    ``audio.encoding``); the decoder takes nothing more then, but what it brought out before holds.
    """

    blocking = True

    def __init__(self, container: ContainerFormat, *, timelines: int) -> None:
        self.channels = timelines
        self.source_channels: int | None = None
        """The stream's own channels, once its first sound is decoded."""
        self._encoding = container.encoding
        self._fed = False
        self._source = ByteSource()
        self._units = _READERS[container.encoding](self._source)
        self._codec: AudioCodecContext | None = None
        self._rate = 0
        self._skip = 0
        self._damaged = 0
        self._resampler: Resampler | None = None

    def pieces(self, data: bytes) -> Iterator[list[Samples]]:
        """Take the stream's next bytes; give the samples that are ready, about a second at a time.

        Bytes may hold far more sound than their size tells: take a piece only when there is room for it.

        Raises:
            InvalidAudio: the bytes are not what was announced, or are damaged.
        """
        self._fed = self._fed or bool(data)
        self._source.feed(data)
        return self._pieces()

    def flush(self) -> list[Samples]:
        """Bring out all that is whole, for ``audio.flush``; the stream goes on."""
        self._source.flushing = True
        pieces = [*self._pieces(), self._rest()]
        self._source.flushing = False
        return _joined(pieces)

    def finish(self) -> Tail:
        """Bring out the rest. A packet that is not whole is left out: a recorder may stop anywhere.

        Raises:
            InvalidAudio: the last of it is damaged, or it held no sound at all.
        """
        self._source.end()
        pieces = list(self._pieces())
        if self._codec is not None and self._codec.is_open:
            pieces += [self._resampled([frames]) for frames in self._decoded(None)]
        if self._fed and self._resampler is None:
            raise invalid_audio(f"The {self._encoding} stream ended before any of its sound.")
        return Tail(_joined([*pieces, self._rest()]), 0)

    def _pieces(self) -> Iterator[list[Samples]]:
        held: list[Frames] = []
        problem: InvalidAudio | None = None
        try:
            for unit in self._units:
                if unit is None:
                    break
                frames = self._frames(unit)
                if any(map(len, frames)):
                    self._source.heard()
                held += frames
                if sum(map(len, held)) >= max(self._rate, 1):
                    yield self._resampled(held)
                    held = []
        except EndOfStreamError:
            pass
        except InvalidAudio as error:
            problem = error
        if held:
            yield self._resampled(held)  # what was heard before the damage counts
        if problem is not None:
            raise problem

    def _resampled(self, held: list[Frames]) -> list[Samples]:
        frames = np.concatenate(held)
        if self._resampler is None:
            self._resampler = Resampler(self._rate, self.channels)
        return split(self._resampler.process(downmix(frames) if self.channels == 1 else frames))

    def _rest(self) -> list[Samples]:
        if self._resampler is None:
            return [np.zeros(0, np.float32)] * self.channels
        return split(self._resampler.flush())

    # --- packets to frames -------------------------------------------------------------------------------------

    def _frames(self, unit: Unit) -> list[Frames]:
        if isinstance(unit, Header):
            self._open(unit)
            return []
        frames = self._decoded(CodedPacket(unit.data))
        if unit.discard and frames:
            joined = np.concatenate(frames)
            return [joined[: max(0, len(joined) - unit.discard)]]
        return frames

    def _open(self, header: Header) -> None:
        """A codec for the stream that begins here; one before it is drained by its packets alone."""
        if header.channels is not None:
            self._check(header.channels, header.sample_rate or 0)
        codec = CodecContext.create(header.codec, "r")
        assert isinstance(codec, AudioCodecContext)
        codec.thread_count = 1
        if header.extradata:
            codec.extradata = header.extradata
        elif header.channels is not None:
            codec.layout = f"{header.channels}c"
        if header.sample_rate is not None:
            codec.sample_rate = header.sample_rate
        try:
            codec.open(strict=False)
        except (av.FFmpegError, ValueError) as error:
            raise invalid_audio(f"The {self._encoding} stream's header is damaged.") from error
        self._codec, self._skip = codec, header.skip

    def _decoded(self, packet: CodedPacket[Stream] | None) -> list[Frames]:
        """Shape (n, channels) at the stream's rate; a packet that does not decode is passed over."""
        if self._codec is None:
            raise invalid_audio(f"The {self._encoding} stream has sound before its header.")
        try:
            decoded = self._codec.decode(packet)
        except av.FFmpegError as error:
            self._damaged += 1
            if self._damaged > _MAX_DAMAGED:
                raise invalid_audio(
                    f"{self._damaged} packets in a row of the {self._encoding} stream cannot be decoded."
                ) from error
            return []
        self._damaged = 0
        return [self._checked(frame) for frame in decoded]

    def _checked(self, frame: AudioFrame) -> Frames:
        self._check(frame.layout.nb_channels, frame.sample_rate)
        frames = to_floats(frame)
        skipped, self._skip = min(self._skip, len(frames)), max(0, self._skip - len(frames))
        return frames[skipped:]

    def _check(self, channels: int, rate: int) -> None:
        """What a stream declares first holds for all of it."""
        if self.source_channels is not None:
            if (channels, rate) != (self.source_channels, self._rate):
                raise invalid_audio(
                    f"The {self._encoding} stream changes from {self.source_channels} channel(s) at {self._rate} Hz to "
                    f"{channels} at {rate} Hz midway, which is not followed."
                )
            return
        if not 1 <= channels <= MAX_CHANNELS:
            raise invalid_audio(f"The {self._encoding} stream has {channels} channels; 1 to {MAX_CHANNELS} are taken.")
        if not MIN_SAMPLE_RATE <= rate <= MAX_SAMPLE_RATE:
            raise invalid_audio(
                f"The {self._encoding} stream has {rate} Hz; {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz are taken."
            )
        if self.channels not in {1, channels}:
            raise invalid_audio(f"The {self._encoding} stream has {channels} channel(s), not {self.channels}.")
        self.source_channels, self._rate = channels, rate


def _joined(pieces: list[list[Samples]]) -> list[Samples]:
    return [np.concatenate(channel) for channel in zip(*pieces, strict=True)]
