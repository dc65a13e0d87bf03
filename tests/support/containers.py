"""Sound in each of the live lane's containers, written as a live source writes it: to a pipe that cannot go back."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np

from speechlane.audio import Samples
from speechlane.audio.format import ContainerFormat
from speechlane.media.streaming import ContainerDecoder

_MUXERS = {
    "wav": ("wav", "pcm_s16le", {}),
    "flac": ("flac", "flac", {}),
    "ogg_opus": ("ogg", "libopus", {"page_duration": "100000"}),
    "webm_opus": ("webm", "libopus", {"live": "1", "cluster_time_limit": "250"}),
    "mp3": ("mp3", "libmp3lame", {}),
    "adts_aac": ("adts", "aac", {}),
}
_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
ENCODINGS = tuple(_MUXERS)
DATA = Path(__file__).parents[1] / "data"


class _Pipe:
    def __init__(self):
        self.bytes = bytearray()

    def write(self, data):
        self.bytes += data
        return len(data)


def encode(encoding, samples, rate, *, seekable=False, muxer=None, codec=None, options=None) -> bytes:
    """Float samples of shape (channels, n) at ``rate`` in a container; ``seekable``: as a finished file."""
    own_muxer, own_codec, own_options = _MUXERS[encoding]
    target = io.BytesIO() if seekable else _Pipe()
    layout = _LAYOUTS[len(samples)]
    with av.open(target, "w", format=muxer or own_muxer, options=own_options if options is None else options) as out:
        stream = out.add_stream(codec or own_codec, rate=rate, layout=layout)
        context = stream.codec_context
        context.open()
        to_codec = av.AudioResampler(format=context.format, layout=layout, rate=rate)
        fifo = av.AudioFifo()
        packed = np.ascontiguousarray(samples.T, np.float32).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
        frame.rate, frame.pts = rate, 0
        for part in [*to_codec.resample(frame), *to_codec.resample(None)]:
            fifo.write(part)
        while (part := fifo.read(context.frame_size or 1024, partial=True)) is not None:
            out.mux(stream.encode(part))
        out.mux(stream.encode(None))
    return target.getvalue() if seekable else bytes(target.bytes)


def tone(rate, seconds, channels=1) -> np.ndarray:
    """A different tone on each channel, swelling, so that no two moments are alike."""
    at = np.arange(int(rate * seconds)) / rate
    return np.stack([0.1 * at * np.sin(2 * np.pi * 220 * (number + 1) * at) for number in range(channels)])


def decode(encoding, pieces, *, timelines=1) -> list[Samples]:
    """All samples of a stream that comes in these pieces, one array a timeline."""
    decoder = ContainerDecoder(ContainerFormat(encoding), timelines=timelines)
    parts = [part for piece in pieces for part in decoder.pieces(piece)]
    parts.append(decoder.finish().samples)
    return [np.concatenate(channel) for channel in zip(*parts, strict=True)]


def recording() -> list[bytes]:
    """What a browser's MediaRecorder made of the JFK sample, slice by slice (tests/data/README.md)."""
    data = (DATA / "jfk_mediarecorder.webm").read_bytes()
    slices = []
    for line in (DATA / "jfk_mediarecorder.sizes").read_text(encoding="ascii").split():
        slices.append(data[: int(line)])
        data = data[int(line) :]
    assert not data
    return slices
