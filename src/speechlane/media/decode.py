"""Any audio or video file to blocks of mono float32 samples at 16 kHz, in flat memory.

The same resampler and downmix as in the live lane, so that both lanes hear the same samples. What can be mended is
mended and told as a warning; only a file without one decodable sample is an error.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Literal

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

from speechlane.audio import SAMPLE_RATE, Resampler, Samples
from speechlane.audio.format import MAX_CHANNELS
from speechlane.audio.frames import Frames, downmix, split
from speechlane.errors import InvalidAudio, InvalidInput, TooLarge
from speechlane.media.headers import is_cut_off
from speechlane.media.opening import open_container
from speechlane.media.probe import MediaInfo, audio_stream, check_frames, describe
from speechlane.media.samples import to_floats
from speechlane.media.timeline import Timeline

BLOCK = SAMPLE_RATE
"""Samples: blocks are at least this long, but for the last, and seldom much longer."""

# Containers whose headers state the length of the sound; elsewhere FFmpeg's figure is an estimate.
_DECLARES_DURATION = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "flac", "wav", "aiff", "w64", "caf"})
_SHORTFALL_MS = 500  # what codec padding and rounding in headers explain stays well below this


@dataclass(frozen=True, slots=True)
class MediaWarning:
    """Something that was mended: ``truncated``, ``damaged`` or ``gaps``, and a sentence with its numbers."""

    code: str
    message: str


class AudioFile:
    """One audio track of an open file.

    ``info`` says what it is, ``channels`` how many timelines come out (1 when mixed). `blocks` decodes it, once;
    afterwards ``warnings`` is complete and ``duration_ms`` is what was decoded.
    """

    def __init__(
        self,
        container: InputContainer,
        file: BinaryIO,
        *,
        track: int,
        mix: bool,
        max_duration_ms: int | None,
    ) -> None:
        self._container = container
        self._file = file
        self._stream: AudioStream = audio_stream(container, track)
        self._mix = mix
        self._max_duration_ms = max_duration_ms
        self._timeline = Timeline((container.start_time or 0) / av.time_base)
        self._cut_off = False
        self._damaged_packets = 0
        self.info: MediaInfo = describe(container, self._stream, track, os.fstat(file.fileno()).st_size)
        self.channels = 1 if mix else self.info.channels
        self.warnings: list[MediaWarning] = []

    @property
    def duration_ms(self) -> int:
        """Whole milliseconds decoded so far."""
        return round(self._timeline.end_s * 1000)

    def blocks(self) -> Iterator[list[Samples]]:
        """Blocks of samples in order, one array a channel, all of one length.

        Raises:
            InvalidAudio: ``unreadable_audio`` when not one sample can be decoded.
            TooLarge: ``too_long`` when the sound passes the duration allowed.
        """
        held: list[Frames] = []
        length = 0
        given = 0
        for piece in self._resampled():
            held.append(piece)
            length += len(piece)
            given += len(piece)
            if length >= BLOCK:
                yield split(np.concatenate(held))
                held, length = [], 0
        if length:
            yield split(np.concatenate(held))
        self._conclude(given)

    def _resampled(self) -> Iterator[Frames]:
        """Shape (n, channels) at 16 kHz; silence stands where the track's timestamps say that sound is missing."""
        resampler, rate = Resampler(self._stream.sample_rate, self.channels), self._stream.sample_rate
        for frame in self._decoded():
            if frame.sample_rate != rate:  # chained streams may change it midway
                check_frames(frame.layout.nb_channels, frame.sample_rate)
                yield resampler.flush()
                resampler, rate = Resampler(frame.sample_rate, self.channels), frame.sample_rate
            missing = round(self._timeline.gap_before(frame) * rate)
            while missing > 0:
                step = min(missing, rate)
                yield resampler.process(np.zeros((step, self.channels), np.float32))
                missing -= step
                self._advance(step, rate)
            yield resampler.process(self._channels_of(frame))
            self._advance(frame.samples, rate)
        yield resampler.flush()

    def _advance(self, samples: int, rate: int) -> None:
        self._timeline.end_s += samples / rate
        if self._max_duration_ms is not None and self.duration_ms > self._max_duration_ms:
            raise TooLarge(
                "too_long",
                f"The recording is longer than {self._max_duration_ms} ms, the most that is taken. Send it in parts.",
                field="file",
                limit=self._max_duration_ms,
            )

    def _decoded(self) -> Iterator[AudioFrame]:
        """All frames that can be decoded; a packet that cannot is passed over and counted."""
        for packet in self._packets():
            try:
                frames = self._stream.decode(packet)
            except av.FFmpegError:
                self._damaged_packets += 1
                self._cut_off = True  # unless a good packet follows
                continue
            if frames:
                self._cut_off = False
            yield from frames

    def _packets(self) -> Iterator[Packet[AudioStream] | None]:
        try:
            yield from self._container.demux(self._stream)  # its last packet is empty and drains the decoder
        except av.FFmpegError:
            yield None  # drains the decoder too
            self._cut_off = True

    def _channels_of(self, frame: AudioFrame) -> Frames:
        """The frame as float32, shape (n, channels)."""
        values = to_floats(frame)
        if self._mix:
            return downmix(values)
        if values.shape[1] == self.channels:
            return values
        # The layout changed midway: channels that are not there any more are silent, new ones are left out.
        fitted = np.zeros((len(values), self.channels), np.float32)
        shared = min(self.channels, values.shape[1])
        fitted[:, :shared] = values[:, :shared]
        return fitted

    def _conclude(self, samples: int) -> None:
        """Judge the whole once its end is reached."""
        decoded = self.duration_ms
        if samples == 0:
            raise InvalidAudio(
                "unreadable_audio",
                f"The file ({self.info.container}, {self.info.codec}, {self.info.bytes} bytes) has a header but no "
                "sound that can be decoded: it is cut off or damaged. Send the whole file.",
                field="file",
            )
        declared = self._declared_ms()
        missing = declared is not None and not self._timeline.jumps and declared - decoded > _SHORTFALL_MS
        if self._cut_off or missing or is_cut_off(self._file):
            whole = f"; its header declares {declared} ms" if missing else ""
            self._warn("truncated", f"The file is cut off or damaged: its sound ends at {decoded} ms{whole}.")
        if self._damaged_packets:
            self._warn("damaged", f"{self._damaged_packets} packet(s) of the file could not be decoded.")
        if self._timeline.filled_s or self._timeline.jumps:
            self._warn(
                "gaps",
                f"Sound was missing by the file's timestamps: {round(self._timeline.filled_s * 1000)} ms were filled "
                f"with silence, {self._timeline.jumps} jump(s) of the clock were passed over.",
            )

    def _warn(self, code: str, message: str) -> None:
        self.warnings.append(MediaWarning(code, message))

    def _declared_ms(self) -> int | None:
        """How long the track's header says it is, or None where that is an estimate or counts the video too."""
        own = self._stream.duration is not None or not self._container.streams.video
        return self.info.duration_ms if own and self.info.container in _DECLARES_DURATION else None


@contextmanager
def open_audio(
    path: str | os.PathLike[str],
    *,
    track: int = 0,
    channels: Literal["mix", "separate"] = "mix",
    max_duration_ms: int | None = None,
) -> Iterator[AudioFile]:
    """Open a file to decode audio track ``track`` (counted from 0), its channels mixed to one or kept apart.

    Raises:
        InvalidInput: see `probe`; ``too_many_channels``, field ``channels``.
        InvalidAudio: see `probe`.
    """
    with open_container(path) as (container, file):
        audio = AudioFile(container, file, track=track, mix=channels == "mix", max_duration_ms=max_duration_ms)
        if audio.channels > MAX_CHANNELS:
            raise InvalidInput(
                "too_many_channels",
                f'channels is "separate" and the track has {audio.channels} channels; at most {MAX_CHANNELS} are kept '
                'apart. Ask for "mix".',
                field="channels",
                limit=MAX_CHANNELS,
            )
        yield audio


def read_pcm16(path: str | os.PathLike[str], *, track: int = 0) -> Iterator[bytes]:
    """A file as raw 16 kHz mono s16le, in pieces of about a second: what `speechlane live FILE` sends."""
    with open_audio(path, track=track) as audio:
        for (samples,) in audio.blocks():
            yield np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2").tobytes()
