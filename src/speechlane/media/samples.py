"""FFmpeg's decoded frames as the samples that everything else here works on."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

from speechlane.audio.frames import Frames, sanitize
from speechlane.errors import InvalidAudio

_PLANES = 8
"""From so many planes on PyAV reads past the end of FFmpeg's list of them (18.1, `AudioFrame.planes`)."""


def to_floats(frame: AudioFrame) -> Frames:
    """Any of FFmpeg's sample formats as float32 within -1..1, shape (n, channels)."""
    if frame.format.is_planar and frame.layout.nb_channels >= _PLANES:
        (frame,) = av.AudioResampler(frame.format.packed, frame.layout, frame.sample_rate).resample(frame)
    try:
        values: NDArray[Any] = frame.to_ndarray()  # planar: (channels, n); packed: (1, n * channels)
    except ValueError as error:
        raise InvalidAudio(
            "unsupported_codec",
            f"The file's samples ({frame.format.name}) cannot be read here. Convert it, for example to FLAC.",
            field="file",
        ) from error
    values = values.T if frame.format.is_planar else values.reshape(-1, frame.layout.nb_channels)
    if values.dtype == np.uint8:
        return (values.astype(np.float32) - 128) / np.float32(128)
    if values.dtype.kind == "i":
        return (values / (1 << (8 * values.dtype.itemsize - 1))).astype(np.float32)
    return sanitize(values)
