"""What a media file holds, read from its headers alone."""

from __future__ import annotations

import os
from dataclasses import dataclass

from av.audio.stream import AudioStream
from av.container import InputContainer

from speechlane.errors import InvalidAudio, InvalidInput
from speechlane.media.opening import open_container

MIN_SAMPLE_RATE = 1_000
MAX_SAMPLE_RATE = 768_000
"""Hz. A header may claim anything; far outside of what is recorded, a small file would swell to hours of samples."""


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """One file and one audio track of it.

    ``container`` and ``codec`` are FFmpeg's names (``matroska,webm``, ``opus``); ``duration_ms`` is what the headers
    declare or FFmpeg estimates, None when neither can; ``bytes`` is the size of the file.
    """

    container: str
    codec: str
    sample_rate: int
    channels: int
    duration_ms: int | None
    audio_tracks: int
    track: int
    bytes: int


def probe(path: str | os.PathLike[str], *, track: int = 0) -> MediaInfo:
    """Look at a file without decoding it; ``track`` counts audio tracks from 0.

    Raises:
        InvalidInput: see `open_container`; ``no_such_track``, field ``track``.
        InvalidAudio: see `open_container`; ``no_audio_track``, ``unsupported_codec``, ``unreadable_audio``, field
            ``file``.
    """
    with open_container(path) as (container, file):
        return describe(container, audio_stream(container, track), track, os.fstat(file.fileno()).st_size)


def audio_stream(container: InputContainer, track: int) -> AudioStream:
    """The audio track of that number, counted from 0 among audio tracks, known to be decodable."""
    streams = container.streams.audio
    if not streams:
        kinds = sorted({stream.type for stream in container.streams})
        raise InvalidAudio(
            "no_audio_track",
            f"The file ({container.format.name}) has no audio track; it holds: {', '.join(kinds) or 'nothing'}. "
            "Send a recording with sound.",
            field="file",
        )
    if not 0 <= track < len(streams):
        raise InvalidInput(
            "no_such_track",
            f"track is {track}; the file has {len(streams)} audio track(s), counted from 0. Choose one of these.",
            field="track",
            limit=len(streams) - 1,
        )
    stream = streams[track]
    # PyAV: a stream whose codec has no decoder in this build of FFmpeg has no codec context.
    if stream.codec_context is None:
        raise InvalidAudio(
            "unsupported_codec",
            f"The file ({container.format.name}) holds audio that no decoder here can read. Convert it, for example "
            "to FLAC, and send that.",
            field="file",
        )
    check_frames(stream.channels, stream.sample_rate)
    return stream


def check_frames(channels: int, sample_rate: int) -> None:
    """Refuse (``unreadable_audio``) what a header or a frame in the middle claims and no recording has."""
    if not (MIN_SAMPLE_RATE <= sample_rate <= MAX_SAMPLE_RATE and channels > 0):
        raise InvalidAudio(
            "unreadable_audio",
            f"The file declares {channels} channel(s) at {sample_rate} Hz: it is damaged or cut off. Send the whole "
            f"file; rates of {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz are read.",
            field="file",
            limit=f"{MIN_SAMPLE_RATE}..{MAX_SAMPLE_RATE}",
        )


def describe(container: InputContainer, stream: AudioStream, track: int, size: int) -> MediaInfo:
    """The values of an open file."""
    duration_ms = None
    if stream.duration is not None and stream.time_base is not None:
        duration_ms = round(stream.duration * stream.time_base * 1000)
    elif container.duration is not None:
        duration_ms = round(container.duration / 1000)  # FFmpeg counts microseconds here
    return MediaInfo(
        container=container.format.name,
        codec=stream.codec_context.name,
        sample_rate=stream.sample_rate,
        channels=stream.channels,
        duration_ms=duration_ms,
        audio_tracks=len(container.streams.audio),
        track=track,
        bytes=size,
    )
