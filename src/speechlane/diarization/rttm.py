"""Turns as NIST's Rich Transcription Time Marked files: one ``SPEAKER`` line a turn.

Format: NIST, "The 2009 (RT-09) Rich Transcription Meeting Recognition Evaluation Plan", appendix A:
``SPEAKER recording channel start duration <NA> <NA> speaker <NA> <NA>``, times in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from speechlane.diarization.turns import SAMPLES_PER_MS, Turn
from speechlane.errors import InvalidInput

_FEWEST_FIELDS = 8


def parse_rttm(text: str) -> dict[str, tuple[Turn, ...]]:
    """Turns of each recording named in the file, ordered by start; other kinds of lines and comments are skipped.

    Raises:
        InvalidInput: ``invalid_rttm`` names the line that cannot be read.
    """
    turns: dict[str, list[Turn]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split()
        if not fields or fields[0] != "SPEAKER":
            continue
        if len(fields) < _FEWEST_FIELDS:
            raise _invalid(number, f"has {len(fields)} fields, {_FEWEST_FIELDS} are needed")
        start, duration = (_seconds(field, number) for field in fields[3:5])
        turn = Turn(_position(start), _position(start + duration), fields[7])
        turns.setdefault(fields[1], []).append(turn)
    return {name: tuple(sorted(found, key=_order)) for name, found in turns.items()}


def format_rttm(turns: Iterable[Turn], *, recording: str, channel: int = 1) -> str:
    """One line a turn, ordered by start, in seconds with three decimals.

    Raises:
        InvalidInput: ``invalid_rttm`` when the recording's or a speaker's name is empty or holds a blank.
    """
    lines = []
    for turn in sorted(turns, key=_order):
        for field, name in (("recording", recording), ("speaker", turn.speaker)):
            if name.split() != [name]:
                raise InvalidInput(
                    "invalid_rttm",
                    f"{field}: {name!r} cannot stand in an RTTM line. Use a name without blanks.",
                    field=field,
                )
        start, end = (_milliseconds(position) for position in (turn.start, turn.end))
        times = f"{start / 1000:.3f} {(end - start) / 1000:.3f}"
        lines.append(f"SPEAKER {recording} {channel} {times} <NA> <NA> {turn.speaker} <NA> <NA>\n")
    return "".join(lines)


def _seconds(field: str, number: int) -> float:
    try:
        seconds = float(field)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise _invalid(number, f"holds {field!r} where seconds from 0 belong")
    return seconds


def _position(seconds: float) -> int:
    return round(seconds * 1000 * SAMPLES_PER_MS)


def _milliseconds(position: int) -> int:
    return (position + SAMPLES_PER_MS // 2) // SAMPLES_PER_MS


def _order(turn: Turn) -> tuple[int, int, str]:
    return turn.start, turn.end, turn.speaker


def _invalid(number: int, fact: str) -> InvalidInput:
    return InvalidInput(
        "invalid_rttm",
        f"RTTM line {number} {fact}. Mend the line; its form is"
        " SPEAKER recording channel start duration <NA> <NA> speaker <NA> <NA>.",
        field="rttm",
        limit=number,
    )
