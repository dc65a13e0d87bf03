"""What several commands share: options with one meaning everywhere, and how times are written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

DEFAULT_URL = "http://127.0.0.1:8700"
Command = TypeVar("Command", bound=Callable[..., Any])

readable_file = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


def config_option(command: Command) -> Command:
    """``--config FILE``; without it, SPEECHLANE_CONFIG or ./speechlane.toml."""
    return click.option(
        "--config", type=click.Path(dir_okay=False, path_type=Path), help="TOML file with settings.", metavar="FILE"
    )(command)


def key_option(command: Command) -> Command:
    """``--key KEY``, better given as SPEECHLANE_KEY, which other users of the machine cannot list."""
    return click.option("--key", envvar="SPEECHLANE_KEY", help="API key (or SPEECHLANE_KEY).")(command)


def clock(ms: int) -> str:
    """A moment of audio for people: ``01:02.3``, with hours in front when there are any."""
    tenths = (ms + 50) // 100
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}:{minutes:02}" if hours else f"{minutes:02}"
    return f"{head}:{tenths // 10:02}.{tenths % 10}"
