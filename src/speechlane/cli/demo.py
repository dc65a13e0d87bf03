"""``speechlane demo``: the main job from end to end on bundled speech."""

from __future__ import annotations

import json
from pathlib import Path

import click

from speechlane.cli.common import config_option
from speechlane.settings import load_settings

PIPE_WIDTH = 300
"""In a pipe a caption stays on one line; whoever reads it folds it."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.option("--data", metavar="DIR", help="Data folder; all files go to its demo/.")
@config_option
def demo(*, as_json: bool, data: str | None, config: Path | None) -> None:
    """Caption a real conversation live, transcribe it as a job, and show what made the text.

    Starts a server on a free loopback port with its data in the data folder's demo/server, so that a server that
    already runs is left alone. Takes about a minute; needs no network.
    """
    settings = load_settings({"data": data}, config=config)
    import asyncio

    from rich.console import Console

    from speechlane.cli.demo_run import run_demo
    from speechlane.cli.demo_view import DemoView

    console = Console(stderr=as_json, highlight=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    result = asyncio.run(run_demo(settings, DemoView(console)))
    if as_json:
        click.echo(json.dumps(result, ensure_ascii=False))
