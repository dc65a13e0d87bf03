"""Sound as numbers: formats, sample positions, resampling, the speech gate.

Inside, audio is mono float32 at 16 kHz, one timeline a channel, and a moment is a sample position counted from the
start of the session or recording. Milliseconds appear only on the wire.
"""

from speechlane.audio.buffer import SampleBuffer
from speechlane.audio.decoder import StreamDecoder, Tail
from speechlane.audio.format import AudioFormat
from speechlane.audio.resampler import Resampler
from speechlane.audio.samples import SAMPLE_RATE, Samples, ms_to_position, position_to_ms

__all__ = [
    "SAMPLE_RATE",
    "AudioFormat",
    "Resampler",
    "SampleBuffer",
    "Samples",
    "StreamDecoder",
    "Tail",
    "ms_to_position",
    "position_to_ms",
]
