"""SubRip (``.srt``): numbered cues, as players read them (there is no specification)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from speechlane.captions.clock import clock
from speechlane.captions.lines import Cue, label

MEDIA_TYPE = "application/x-subrip"

# SubRip has no escapes. What players would take for an arrow, an HTML tag or an ASS override is split by a WORD
# JOINER, which has no width and no other effect.
_MARKUP = re.compile(r"--(?=>)|<(?=[A-Za-z/!])|\{(?=\\)")
_WORD_JOINER = "\u2060"


def to_subrip(cues: Iterable[Cue]) -> str:
    """A whole file. ``S1: `` stands before the text wherever the speaker changes."""
    blocks = []
    previous: str | None = None
    for number, cue in enumerate(cues, start=1):
        named = label(cue.speaker) if cue.speaker != previous else ""
        previous = cue.speaker
        text = _MARKUP.sub(lambda match: match[0] + _WORD_JOINER, named + "\n".join(cue.lines))
        blocks.append(f"{number}\n{clock(cue.start_ms, ',')} --> {clock(cue.end_ms, ',')}\n{text}\n")
    return "\n".join(blocks)
