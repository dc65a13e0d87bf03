"""``speechlane doctor``: what is missing on this machine, and the command that mends it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from speechlane.cli.common import config_option

COLOURS = {"ok": "green", "missing": "red", "optional": "yellow"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="[{name, status, found, mend}]")
@config_option
def doctor(*, as_json: bool, config: Path | None) -> None:
    """Tell what is missing on this machine and the command that mends it.

    Exit code 1 when something is missing that stands in the way.
    """
    from speechlane.cli.checks import run_checks

    missing = 0
    found = []
    for check in run_checks(config):
        missing += check.status == "missing"
        found.append(asdict(check))
        if not as_json:
            status = click.style(f"{check.status:8}", fg=COLOURS[check.status])
            click.echo(f"{status}  {check.name:18}  {check.found}")
            if check.mend:
                click.echo(f"{'':8}  {'':18}  mend it with: {check.mend}")
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
    if missing:
        sys.exit(1)
