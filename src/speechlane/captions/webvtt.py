"""WebVTT (W3C Candidate Recommendation, 4 April 2019): cues with voice tags."""

from __future__ import annotations

from collections.abc import Iterable

from speechlane.captions.clock import clock
from speechlane.captions.lines import Cue
from speechlane.captions.text import visible

MEDIA_TYPE = "text/vtt"

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def to_webvtt(cues: Iterable[Cue]) -> str:
    """A whole file. A known speaker becomes the cue's voice (``<v S1>``); text is escaped, so ``-->`` cannot be."""
    blocks = ["WEBVTT"]
    for cue in cues:
        voice = f"<v {_annotation(cue.speaker)}>" if cue.speaker else ""
        text = "\n".join(cue.lines).translate(_ESCAPES)
        blocks.append(f"{clock(cue.start_ms, '.')} --> {clock(cue.end_ms, '.')}\n{voice}{text}")
    return "\n\n".join(blocks) + "\n"


def _annotation(speaker: str) -> str:
    return visible(speaker).translate(_ESCAPES)
