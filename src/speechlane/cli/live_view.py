"""How live captions are shown: drawn in a terminal, as plain lines in a pipe, or as JSON lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from speechlane.cli.common import clock
from speechlane.cli.streaming import Show
from speechlane.client import Caption, CaptionBoard, Message

SPEAKER_STYLES = ("cyan", "magenta", "green", "yellow", "blue", "red")


def final_line(caption: Caption) -> Text:
    """A settled caption: its times, who or which channel when known, its text."""
    return Text.assemble(_times(caption), "  ", _who(caption), caption.text.strip())


def final_row(caption: Caption) -> Table:
    """The same for a terminal: text that needs several lines stays beside the times."""
    return _row(_times(caption), Text.assemble(_who(caption), caption.text.strip()))


def partial_row(caption: Caption) -> Table:
    """A caption in the making: stable words plain, unstable ones dim."""
    shown = Text.assemble(caption.stable_text, (caption.unstable_text, "dim"))
    return _row(Text(f"{clock(caption.start_ms)} ...    ", style="dim"), Text.assemble(_who(caption), _stripped(shown)))


def _row(times: Text, text: Text) -> Table:
    row = Table.grid(padding=(0, 2))
    row.add_column(no_wrap=True)
    row.add_column()
    row.add_row(times, text)
    return row


def _times(caption: Caption) -> Text:
    return Text(f"{clock(caption.start_ms)} - {clock(caption.end_ms)}", style="dim")


def _stripped(text: Text) -> Text:
    """Without the space that a segment's first word begins with."""
    return text[len(text.plain) - len(text.plain.lstrip()) :]


def speaker_style(speaker: str) -> str:
    """A colour for a speaker's label: S1, S2 ... take the colours in turn."""
    number = int("".join(filter(str.isdigit, speaker)) or 0)
    return SPEAKER_STYLES[(number - 1) % len(SPEAKER_STYLES)]


def _who(caption: Caption) -> Text:
    if caption.speaker:
        return Text(f"{caption.speaker}  ", style=f"bold {speaker_style(caption.speaker)}")
    if caption.channel:
        return Text(f"channel {caption.channel}  ", style="bold")
    return Text()


def _note(message: Message) -> str | None:
    """What is said about a message beside the captions."""
    match message["type"]:
        case "warning":
            return f"warning: {message['message']}"
        case "session.resumed":
            return f"connection restored: sending again from {clock(message['replay_from_ms'])}"
    return None


@contextmanager
def caption_view(*, as_json: bool) -> Iterator[Show]:
    """The view that fits: JSON when asked for, drawn when standard output is a terminal, else plain final lines."""
    if as_json:
        yield _show_json
    elif sys.stdout.isatty():
        with drawn_captions(Console(highlight=False)) as show:
            yield show
    else:
        yield _show_plain


def _show_json(message: Message, received_s: float) -> None:
    click.echo(json.dumps({**message, "received_s": round(received_s, 3)}, ensure_ascii=False))
    if message["type"] == "session.resumed":
        click.echo(_note(message), err=True)


def _show_plain(message: Message, _received_s: float) -> None:
    if message["type"] == "caption.final" and message["text"]:
        click.echo(final_line(Caption.of(message)).plain)
    elif note := _note(message):
        click.echo(note, err=True)


@contextmanager
def drawn_captions(console: Console) -> Iterator[Show]:
    """Finals are printed and stay; below them the captions in the making are redrawn in place."""
    board = CaptionBoard()
    with Live(console=console, transient=True, auto_refresh=False) as area:

        def show(message: Message, _received_s: float) -> None:
            caption = board.take(message)
            area.update(Group(*map(partial_row, board.open)), refresh=True)
            if caption and message["type"] == "caption.final" and caption.text:
                console.print(final_row(caption))
            elif note := _note(message):
                console.print(note, style="yellow", markup=False)

        yield show
