"""WebVTT (W3C Candidate Recommendation, 4 April 2019): cues with voice tags."""

from __future__ import annotations

from collections.abc import Iterable

from speechlane.captions.clock import clock
from speechlane.captions.lines import Cue
from speechlane.captions.text import visible

MEDIA_TYPE = "text/vtt"
HEADER = "WEBVTT"

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def to_webvtt(cues: Iterable[Cue]) -> str:
    """A whole file. A known speaker becomes the cue's voice (``<v S1>``); text is escaped, so ``-->`` cannot be."""
    return "\n\n".join([HEADER, *map(cue_block, cues)]) + "\n"


def cue_block(cue: Cue) -> str:
    """One cue, without the empty line that parts it from others."""
    voice = f"<v {_annotation(cue.speaker)}>" if cue.speaker else ""
    text = "\n".join(cue.lines).translate(_ESCAPES)
    return f"{clock(cue.start_ms, '.')} --> {clock(cue.end_ms, '.')}\n{voice}{text}"


def _annotation(speaker: str) -> str:
    return visible(speaker).translate(_ESCAPES)
