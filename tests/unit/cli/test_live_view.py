"""How captions look: fixed lines, stable words plain, unstable words dim."""

from __future__ import annotations

import io
import json
import re

import pytest
from rich.console import Console

from speechlane.cli.common import clock
from speechlane.cli.live_view import caption_view, drawn_captions, final_line, final_row, partial_row, speaker_style
from speechlane.client import Caption

pytestmark = pytest.mark.unit


def final(text=" Hello there.", speaker=None, channel=0, segment=1):
    return {
        "type": "caption.final",
        "channel": channel,
        "segment": segment,
        "speaker": speaker,
        "start_ms": 1_230,
        "end_ms": 62_960,
        "text": text,
    }


def partial(stable, unstable, channel=0):
    return {
        "type": "caption.partial",
        "channel": channel,
        "segment": 2,
        "revision": 1,
        "speaker": None,
        "start_ms": 65_000,
        "end_ms": 66_000,
        "stable_text": stable,
        "unstable_text": unstable,
    }


@pytest.mark.parametrize(
    ("ms", "written"),
    [(0, "00:00.0"), (949, "00:00.9"), (59_999, "01:00.0"), (62_345, "01:02.3"), (3_600_000, "1:00:00.0")],
)
def test_moments_are_written_to_a_tenth_of_a_second(ms, written):
    """Rounded once, so that no second shows as 60."""
    assert clock(ms) == written


def test_a_final_line_has_times_speaker_and_text():
    """What is known is shown; channel 0 alone needs no name."""
    assert final_line(Caption.of(final())).plain == "00:01.2 - 01:03.0  Hello there."
    assert final_line(Caption.of(final(speaker="S1"))).plain == "00:01.2 - 01:03.0  S1  Hello there."
    assert final_line(Caption.of(final(channel=1))).plain == "00:01.2 - 01:03.0  channel 1  Hello there."


def test_unstable_words_are_dim_and_stable_ones_are_not():
    """The style says which words may still change; the words are shown exactly as sent."""
    console = Console(file=io.StringIO(), force_terminal=True, color_system="standard", width=60)
    console.print(partial_row(Caption.of(partial(" Hello", " there"))))
    console.print(partial_row(Caption.of(partial("", " there"))))
    both, unsettled = console.file.getvalue().splitlines()
    assert "Hello\x1b[2m there\x1b[0m" in both
    assert "\x1b[2mthere\x1b[0m" in unsettled


def test_long_captions_stay_beside_their_times():
    """Text that needs several lines is not mixed with the column of times."""
    console = Console(file=io.StringIO(), width=40)
    console.print(final_row(Caption.of(final(text=" one two three four five six seven eight", speaker="S1"))))
    first, second, *_ = console.file.getvalue().splitlines()
    assert first.startswith("00:01.2 - 01:03.0  S1  one two")
    assert second.startswith(" " * 19)


def test_speakers_take_colours_in_turn():
    """Neighbouring labels differ; every label has a colour."""
    assert speaker_style("S1") != speaker_style("S2")
    assert speaker_style("S7") == speaker_style("S1")
    assert speaker_style("anyone")


def test_a_terminal_keeps_finals_and_redraws_the_rest():
    """A final is printed once and stays; partials leave nothing behind; empty finals are not shown."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, color_system=None, width=80, highlight=False)
    with drawn_captions(console) as show:
        show(partial(" Hel", "lo") | {"segment": 1}, 0.1)
        show(final(), 0.2)
        show(partial("", " noise"), 0.3)
        show(final(text="", segment=2), 0.4)
        show({"type": "warning", "message": "Careful."}, 0.5)
        show({"type": "audio.ack"}, 0.6)
    text = screen.getvalue()
    assert text.count("00:01.2 - 01:03.0  Hello there.") == 1
    assert "Careful." in text
    assert "noise" in text
    lasting = [re.split(r"\r|\x1b\[2K|\x1b\[1A", line)[-1] for line in text.split("\n")]
    assert [line for line in lasting if line and "\x1b" not in line] == [
        "00:01.2 - 01:03.0  Hello there.",
        "warning: Careful.",
    ]


def test_a_pipe_gets_final_lines_only(capsys):
    """Without a terminal only settled captions go to standard output; warnings go to standard error."""
    with caption_view(as_json=False) as show:
        for message in (partial(" a", " b"), final(), final(text=""), {"type": "warning", "message": "Careful."}):
            show(message, 1.0)
    shown = capsys.readouterr()
    assert shown.out == "00:01.2 - 01:03.0  Hello there.\n"
    assert shown.err == "warning: Careful.\n"


def test_json_lines_hold_every_message_with_its_time(capsys):
    """Whatever arrives is one line, fields unchanged, with received_s added."""
    with caption_view(as_json=True) as show:
        show({"type": "unheard.of", "text": "Grüße"}, 1.23456)
        show(final(), 2.0)
    lines = capsys.readouterr().out.splitlines()
    assert json.loads(lines[0]) == {"type": "unheard.of", "text": "Grüße", "received_s": 1.235}
    assert json.loads(lines[1]) == {**final(), "received_s": 2.0}


@pytest.mark.parametrize("as_json", [True, False])
def test_a_restored_connection_is_told_on_standard_error(capsys, as_json):
    """Standard output holds captions or messages alone; the person who watches is told from where it goes on."""
    resumed = {"type": "session.resumed", "replay_from_ms": 61_500}
    with caption_view(as_json=as_json) as show:
        show(resumed, 1.0)
    shown = capsys.readouterr()
    assert shown.err == "connection restored: sending again from 01:01.5\n"
    assert shown.out == (json.dumps({**resumed, "received_s": 1.0}) + "\n" if as_json else "")
