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
from speechlane.client import Message

SPEAKER_STYLES = ("cyan", "magenta", "green", "yellow", "blue", "red")


def final_line(message: Message) -> Text:
    """A settled caption: its times, who or which channel when known, its text."""
    return Text.assemble(_times(message), "  ", _who(message), message["text"].strip())


def final_row(message: Message) -> Table:
    """The same for a terminal: text that needs several lines stays beside the times."""
    row = Table.grid(padding=(0, 2))
    row.add_column(no_wrap=True)
    row.add_column()
    row.add_row(_times(message), Text.assemble(_who(message), message["text"].strip()))
    return row


def partial_row(message: Message) -> Table:
    """A caption in the making: stable words plain, unstable ones dim."""
    row = Table.grid(padding=(0, 2))
    row.add_column(no_wrap=True)
    row.add_column()
    shown = Text.assemble(message["stable_text"], (message["unstable_text"], "dim"))
    row.add_row(
        Text(f"{clock(message['start_ms'])} ...    ", style="dim"), Text.assemble(_who(message), _stripped(shown))
    )
    return row


def _times(message: Message) -> Text:
    return Text(f"{clock(message['start_ms'])} - {clock(message['end_ms'])}", style="dim")


def _stripped(text: Text) -> Text:
    """Without the space that a segment's first word begins with."""
    return text[len(text.plain) - len(text.plain.lstrip()) :]


def speaker_style(speaker: str) -> str:
    """A colour for a speaker's label: S1, S2 ... take the colours in turn."""
    number = int("".join(filter(str.isdigit, speaker)) or 0)
    return SPEAKER_STYLES[(number - 1) % len(SPEAKER_STYLES)]


def _who(message: Message) -> Text:
    if message.get("speaker"):
        return Text(f"{message['speaker']}  ", style=f"bold {speaker_style(message['speaker'])}")
    if message["channel"]:
        return Text(f"channel {message['channel']}  ", style="bold")
    return Text()


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


def _show_plain(message: Message, _received_s: float) -> None:
    if message["type"] == "caption.final" and message["text"]:
        click.echo(final_line(message).plain)
    elif message["type"] == "warning":
        click.echo(f"warning: {message['message']}", err=True)


@contextmanager
def drawn_captions(console: Console) -> Iterator[Show]:
    """Finals are printed and stay; below them each channel's caption in the making is redrawn in place."""
    open_captions: dict[int, Message] = {}
    with Live(console=console, transient=True, auto_refresh=False) as area:

        def show(message: Message, _received_s: float) -> None:
            if message["type"] == "caption.partial":
                open_captions[message["channel"]] = message
            elif message["type"] == "caption.final":
                open_captions.pop(message["channel"], None)
            area.update(Group(*map(partial_row, open_captions.values())), refresh=True)
            if message["type"] == "caption.final" and message["text"]:
                console.print(final_row(message))
            elif message["type"] == "warning":
                console.print(f"warning: {message['message']}", style="yellow", markup=False)

        yield show
