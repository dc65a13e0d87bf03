"""How right the demo's texts are, against what its recordings ship with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from speechlane.audio import ms_to_position
from speechlane.diarization import Turn, parse_rttm
from speechlane.scoring import der, wer

PAUSE_MS = 500
"""Words of one speaker with less between them are one turn; reference turns run on through such pauses."""


def diarization_score(transcript: Mapping[str, Any], rttm: str) -> dict[str, Any]:
    """``der`` as a fraction, no collar, overlaps counted, and the seconds behind it."""
    duration = ms_to_position(transcript["duration_ms"])
    (reference,) = parse_rttm(rttm).values()
    errors = der(reference, list(transcript_turns(transcript)), duration=duration)
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


def transcript_turns(transcript: Mapping[str, Any]) -> Iterator[Turn]:
    """Who spoke when, as far as words tell."""
    open_turns: dict[str, tuple[int, int]] = {}
    for segment in transcript["segments"]:
        for word in segment["words"]:
            speaker = word["speaker"]
            if speaker is None:
                continue
            start, end = open_turns.get(speaker, (word["start_ms"], word["end_ms"]))
            if word["start_ms"] - end >= PAUSE_MS:
                yield _turn(start, end, speaker)
                start = word["start_ms"]
            open_turns[speaker] = start, word["end_ms"]
    for speaker, (start, end) in open_turns.items():
        yield _turn(start, end, speaker)


def _turn(start_ms: int, end_ms: int, speaker: str) -> Turn:
    return Turn(ms_to_position(start_ms), ms_to_position(end_ms), speaker)
