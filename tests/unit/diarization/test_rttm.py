"""RTTM in and out."""

from __future__ import annotations

from pathlib import Path

import pytest

from speechlane.diarization import Turn, format_rttm, parse_rttm
from speechlane.errors import InvalidInput

pytestmark = pytest.mark.unit


def test_the_bundled_reference_is_read(repository: Path) -> None:
    """All turns of a real file, in sample positions, ordered by start."""
    text = (repository / "src/speechlane/samples/two_speakers.rttm").read_text(encoding="utf-8")
    (turns,) = parse_rttm(text).values()
    assert len(turns) == 10
    assert turns[0] == Turn(107_040, 113_920, "speaker90")
    assert [turn.start for turn in turns] == sorted(turn.start for turn in turns)


def test_recordings_are_kept_apart_and_other_lines_skipped() -> None:
    """Each recording has its own turns; comments, blank lines and other kinds of lines are no turns."""
    text = """;; comment
SPKR-INFO a 1 <NA> <NA> <NA> unknown bob <NA> <NA>

SPEAKER b 1 0.5 0.5 <NA> <NA> ann <NA> <NA>
SPEAKER a 1 2 1e-1 <NA> <NA> bob <NA>
SPEAKER a 1 1.0000625 1 <NA> <NA> bob <NA> <NA>
"""
    assert parse_rttm(text) == {
        "b": (Turn(8_000, 16_000, "ann"),),
        "a": (Turn(16_001, 32_001, "bob"), Turn(32_000, 33_600, "bob")),
    }


@pytest.mark.parametrize(
    "line",
    [
        "SPEAKER a 1 0.5",
        "SPEAKER a 1 soon 0.5 <NA> <NA> ann <NA> <NA>",
        "SPEAKER a 1 -1 0.5 <NA> <NA> ann <NA> <NA>",
        "SPEAKER a 1 0 nan <NA> <NA> ann <NA> <NA>",
        "SPEAKER a 1 0 inf <NA> <NA> ann <NA> <NA>",
    ],
)
def test_a_bad_line_is_named(line: str) -> None:
    """A line that cannot be read is refused with its number and the form it should have."""
    with pytest.raises(InvalidInput, match=r"line 2 .*SPEAKER recording channel start duration") as refused:
        parse_rttm(f"SPEAKER a 1 0 1 <NA> <NA> ann <NA> <NA>\n{line}\n")
    assert (refused.value.code, refused.value.limit) == ("invalid_rttm", 2)


def test_turns_are_written_in_order() -> None:
    """One line a turn, ordered by start, in the form other tools read; what is read again is the same."""
    turns = [Turn(16_000, 24_000, "S2"), Turn(0, 17_608, "S1")]
    text = format_rttm(turns, recording="call-7")
    assert text == (
        "SPEAKER call-7 1 0.000 1.101 <NA> <NA> S1 <NA> <NA>\nSPEAKER call-7 1 1.000 0.500 <NA> <NA> S2 <NA> <NA>\n"
    )
    assert parse_rttm(text) == {"call-7": (Turn(0, 17_616, "S1"), Turn(16_000, 24_000, "S2"))}
    assert format_rttm([], recording="call-7") == ""


@pytest.mark.parametrize(("recording", "speaker", "field"), [("a b", "S1", "recording"), ("a", "", "speaker")])
def test_names_that_would_break_the_line_are_refused(recording: str, speaker: str, field: str) -> None:
    """Blanks separate RTTM's fields, so no name may hold one or be empty."""
    with pytest.raises(InvalidInput) as refused:
        format_rttm([Turn(0, 16, speaker)], recording=recording)
    assert refused.value.field == field


def test_other_tools_read_what_is_written(tmp_path: Path) -> None:
    """An independent reader finds the same turns."""
    from pyannote.database.util import load_rttm

    path = tmp_path / "call.rttm"
    path.write_text(format_rttm([Turn(1_600, 24_000, "S1"), Turn(16_000, 40_000, "S2")], recording="call"))
    found = [
        (segment.start, segment.end, label)
        for segment, _, label in load_rttm(path)["call"].itertracks(yield_label=True)
    ]
    assert found == [(0.1, 1.5, "S1"), (1.0, 2.5, "S2")]
