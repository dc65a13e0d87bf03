"""``speechlane replay``: run a live session's event log again."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from speechlane.cli.common import readable_file


@click.command()
@click.argument("log", type=readable_file)
def replay(log: Path) -> None:
    """Replay a live session's event LOG and compare every message, byte for byte.

    Exit code 0 when all are identical, 1 otherwise. A log that ends before its session did is told as unfinished.
    Where the session's audio is kept beside it, each window that an engine answered about is compared by its digest.
    """
    from speechlane.live.replay import replay as run_again

    with log.open(encoding="utf-8", errors="replace") as lines:  # a file that is no text is no log
        report = run_again(lines)
    difference = report.difference
    if difference is None:
        click.echo(f"identical: {len(report.messages)} messages of session {report.session}")
        if not report.finished:
            click.echo("unfinished: the log ends before the session's end; it is compared as far as it goes")
        _compare_audio(log)
        return
    click.echo(f"different at message {difference.number} of session {report.session}")
    click.echo(f"  logged:   {difference.logged or '(nothing)'}")
    click.echo(f"  replayed: {difference.replayed or '(nothing)'}")
    sys.exit(1)


def _compare_audio(log: Path) -> None:
    from speechlane.runtime.replay_audio import check_audio

    audio = check_audio(log)
    if audio is None:
        return
    if not audio.different:
        click.echo(f"identical: the audio of {audio.windows} windows that engines were handed")
        return
    click.echo(
        f"different audio in {len(audio.different)} of {audio.windows} windows, first in request {audio.different[0]}"
    )
    sys.exit(1)
