"""How right the demo's texts are, against what its recordings ship with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from speechlane.audio import ms_to_position
from speechlane.diarization import parse_rttm
from speechlane.scoring import der, wer


def diarization_score(heard: str, reference: str, *, duration_ms: int) -> dict[str, Any]:
    """``der`` as a fraction, no collar, overlaps counted, and the seconds behind it; both sides as RTTM."""
    (said,) = parse_rttm(reference).values()
    found = next(iter(parse_rttm(heard).values()), ())
    errors = der(said, found, duration=ms_to_position(duration_ms))
    return {
        "der": errors.rate,
        "der_seconds": {
            "speech": errors.reference_s,
            "missed": errors.miss_s,
            "false_alarm": errors.false_alarm_s,
            "confusion": errors.confusion_s,
        },
    }


def word_score(reference: str, transcript: Mapping[str, Any]) -> dict[str, Any]:
    """``wer`` as a fraction, after normalisation, with the counts and both texts."""
    text = " ".join(segment["text"].strip() for segment in transcript["segments"])
    errors = wer(reference, text)
    return {
        "wer": errors.rate,
        "errors": errors.errors,
        "words": errors.reference_length,
        "text": text,
        "reference": reference,
    }
