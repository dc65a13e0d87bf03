"""Audio that says where it is: the carrier that lets scripted engines hear a script.

Every 10 ms a header of ten samples spells, in steps far coarser than 8-bit companding, which 10 ms of the recording it
stands in; the rest is silence. So a window cut anywhere tells its own position, to the sample. The encodings of the
wire at 16 kHz (16-bit, float, mu-law, A-law) carry it; resampling does not.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from speechlane.audio import Samples

BLOCK_SAMPLES = 160
"""Samples from one header to the next."""

# A header: one sample up, one down, then the block's number in eight digits of base 16, the highest first.
_SYNC = 0.95
_SYNC_OVER = 2 * _SYNC / 3
_DIGITS = 8
_HEADER_SAMPLES = 2 + _DIGITS
_BASE = 16
WHOLE_HEADER_SAMPLES = BLOCK_SAMPLES + _HEADER_SAMPLES - 1
"""Any stretch so long holds a whole header."""

# Digits lie between -0.45 and 0.45, out of reach of the sync pair.
_DIGIT_STEP = 0.06


def scripted_samples(start: int, stop: int) -> array[float]:
    """The carrier from one sample position to another: float32 values, a buffer that ``numpy.frombuffer`` reads."""
    first_block = start // BLOCK_SAMPLES
    last_block = -(-stop // BLOCK_SAMPLES)
    silence = array("f", bytes(4 * (BLOCK_SAMPLES - _HEADER_SAMPLES)))
    carrier = array("f")
    for block in range(first_block, last_block):
        digits = ((block >> (4 * place)) % _BASE for place in reversed(range(_DIGITS)))
        carrier.extend([_SYNC, -_SYNC, *(_DIGIT_STEP * (digit - (_BASE - 1) / 2) for digit in digits)])
        carrier.extend(silence)
    offset = first_block * BLOCK_SAMPLES
    return carrier[start - offset : stop - offset]


def position_of(samples: Samples | array[float]) -> int | None:
    """The recording's position at the first of these samples; None where no whole header is among them."""
    head: list[float] = samples[:WHOLE_HEADER_SAMPLES].tolist()
    for index in range(min(BLOCK_SAMPLES, len(head) - _HEADER_SAMPLES + 1)):
        if head[index] > _SYNC_OVER and head[index + 1] < -_SYNC_OVER:
            block = 0
            for sample in head[index + 2 : index + _HEADER_SAMPLES]:
                digit = round(sample / _DIGIT_STEP + (_BASE - 1) / 2)
                block = block * _BASE + min(max(digit, 0), _BASE - 1)
            return block * BLOCK_SAMPLES - index
    return None
