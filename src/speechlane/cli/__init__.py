"""The command line: thin, and quick to start, because each command imports what it needs when it runs.

Results go to standard output, progress and messages to standard error. Exit codes: 0 done, 1 failed, 2 wrong usage.
"""

from __future__ import annotations

import sys

import click

from speechlane import __version__
from speechlane.cli.demo import demo
from speechlane.cli.doctor import doctor
from speechlane.cli.live import live
from speechlane.cli.models import models
from speechlane.cli.replay import replay
from speechlane.cli.serve import serve
from speechlane.cli.transcribe import transcribe
from speechlane.errors import ConfigurationInvalid, SpeechlaneError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="speechlane")
def program() -> None:
    """Live captions and diarized transcripts from one server, with a record of what made every word."""


for command in (demo, serve, live, transcribe, models, doctor, replay):
    program.add_command(command)


def main() -> None:
    """Run the program and exit; an error of Speechlane is one line that names the next step."""
    try:
        program(prog_name="speechlane")
    except SpeechlaneError as error:
        click.echo(f"error: {error.message} [{error.code}]", err=True)
        sys.exit(2 if isinstance(error, ConfigurationInvalid) or error.code == "invalid_url" else 1)
