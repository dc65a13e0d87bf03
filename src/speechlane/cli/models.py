"""``speechlane models``: list, fetch and check speech weights."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from speechlane.cli.common import config_option
from speechlane.errors import NotFound, SpeechlaneError
from speechlane.settings import load_settings


@click.group()
def models() -> None:
    """List, fetch and check speech weights."""


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="[{name, revision, digest, path, languages, complete}]")
@config_option
def list_command(*, as_json: bool, config: Path | None) -> None:
    """List every known model and where it lies."""
    from speechlane.local.weights import list_models

    root = load_settings(config=config).models
    rows = list_models(root)
    if as_json:
        click.echo(json.dumps([row.as_fields() for row in rows], ensure_ascii=False))
        return
    width = max(len(row.name) for row in rows)
    for row in rows:
        languages = ",".join(row.languages) if len(row.languages) <= 3 else f"{len(row.languages)} languages"
        where = row.path or ("not pulled" if row.complete else "not offered: not all its files are pinned")
        click.echo(f"{row.name:{width}}  {row.revision[:7]}  {languages:12}  {where}")


@models.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@config_option
def pull(names: tuple[str, ...], *, config: Path | None) -> None:
    """Bring models into the store; what lies there whole is left as it is.

    A transfer that broke off goes on where it stopped. Every file is checked against its pinned sha256.
    """
    from speechlane.local.pins import find_pin
    from speechlane.local.pull import pull as pull_model

    root = load_settings(config=config).models
    for pin in [find_pin(name) for name in names]:
        with _transfer_bars() as progress:
            report = pull_model(pin, root, progress=progress)
        click.echo(f"{pin.name}@{pin.revision[:7]} from {report.source}: {report.folder.path}", err=True)


@models.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@config_option
def verify(names: tuple[str, ...], *, config: Path | None) -> None:
    """Check every file of the named models, or of all in the store, against its pinned sha256."""
    from speechlane.local.pins import find_pin, read_pins
    from speechlane.local.program import command
    from speechlane.local.weights import folder_of, open_pinned

    root = load_settings(config=config).models
    pins = [find_pin(name) for name in names] or [pin for pin in read_pins() if folder_of(pin, root).exists()]
    if not pins:
        raise NotFound("no_models", f"No model lies in {root}. Run: {command('models pull tiny.en')}", field="models")
    failed = False
    for pin in pins:
        try:
            folder = open_pinned(pin, root)
        except SpeechlaneError as error:
            failed = True
            click.echo(f"error: {error.message} [{error.code}]", err=True)
        else:
            click.echo(f"{pin.name}@{pin.revision[:7]} ok  {len(pin.files)} files in {folder.path}")
    if failed:
        sys.exit(1)


@contextmanager
def _transfer_bars() -> Iterator[Callable[[str, int, int | None], None]]:
    """A bar for each file or wheel while it arrives, on standard error; nothing where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks = {}

        def told(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total)
            bars.update(tasks[name], completed=done, total=total)

        yield told
