"""How live captions are shown: drawn in a terminal, as plain lines in a pipe, or as JSON lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from speechlane.cli.common import clock
from speechlane.cli.streaming import Show
from speechlane.client import Message

SPEAKER_STYLES = ("cyan", "magenta", "green", "yellow", "blue", "red")


def final_line(message: Message) -> Text:
    """A settled caption: its times, who or which channel when known, its text."""
    line = Text(f"{clock(message['start_ms'])} - {clock(message['end_ms'])}  ", style="dim")
    line.append_text(_who(message))
    line.append(message["text"].strip(), style="not dim")
    return line


def partial_line(message: Message) -> Text:
    """A caption in the making: stable words plain, unstable ones dim."""
    line = Text(f"{clock(message['start_ms'])}  ", style="dim")
    line.append_text(_who(message))
    line.append(message["stable_text"].lstrip(), style="not dim")
    line.append(message["unstable_text"] if message["stable_text"] else message["unstable_text"].lstrip())
    return line


def speaker_style(speaker: str) -> str:
    """A colour for a speaker's label: S1, S2 ... take the colours in turn."""
    number = int("".join(filter(str.isdigit, speaker)) or 0)
    return SPEAKER_STYLES[(number - 1) % len(SPEAKER_STYLES)]


def _who(message: Message) -> Text:
    if message.get("speaker"):
        return Text(f"{message['speaker']}  ", style=f"not dim bold {speaker_style(message['speaker'])}")
    if message["channel"]:
        return Text(f"channel {message['channel']}  ", style="not dim bold")
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
                if message["text"]:
                    console.print(final_line(message))
            elif message["type"] == "warning":
                console.print(f"warning: {message['message']}", style="yellow")
            else:
                return
            area.update(Group(*map(partial_line, open_captions.values())), refresh=True)

        yield show
