"""``speechlane serve``: both lanes in one process."""

from __future__ import annotations

from pathlib import Path

import click

from speechlane.cli.common import config_option
from speechlane.settings import load_settings


@click.command()
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", help="Port; 0 takes any free one.  [default: 8700]")
@click.option("--data", metavar="DIR", help="Folder for all that the server writes.")
@click.option("--model", help="Speech model.  [default: tiny.en]")
@config_option
def serve(host: str | None, port: str | None, data: str | None, model: str | None, config: Path | None) -> None:
    """Serve live captions and jobs; print `ready URL` once work is taken."""
    settings = load_settings({"host": host, "port": port, "data": data, "model": model}, config=config)
    from speechlane.bootstrap import serve as run_server

    run_server(settings)
