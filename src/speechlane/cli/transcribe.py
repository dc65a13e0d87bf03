"""``speechlane transcribe``: recordings to transcripts, on a server or on this machine alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from speechlane.cli.common import config_option, key_option, readable_file
from speechlane.settings import load_settings


@click.command()
@click.argument("files", nargs=-1, required=True, type=readable_file, metavar="FILE...")
@click.option("--url", envvar="SPEECHLANE_URL", help="Post to this server; without it, transcribe on this machine.")
@key_option
@click.option(
    "--format",
    "form",
    default="txt",
    show_default=True,
    type=click.Choice(["json", "txt", "srt", "vtt"]),
    help="Output.",
)
@click.option("--diarize", is_flag=True, help="Tell speakers apart.")
@click.option(
    "--speakers", type=click.IntRange(min=1), metavar="N", help="How many speakers there are; implies --diarize."
)
@click.option("--language", default="auto", show_default=True, help='BCP-47 tag such as "en", or "auto" to detect.')
@click.option("--model", help="Speech model.")
@click.option("--json", "as_json", is_flag=True, help="One object a line for each FILE: file, job, transcript, error.")
@config_option
def transcribe(
    files: tuple[Path, ...],
    *,
    url: str | None,
    key: str | None,
    form: str,
    diarize: bool,
    speakers: int | None,
    language: str,
    model: str | None,
    as_json: bool,
    config: Path | None,
) -> None:
    """Transcribe each FILE (any audio or video) in order and print the transcripts.

    A FILE that fails does not stop the others; the exit code is then 1.
    """
    options: dict[str, Any] = {"language": language}
    if diarize or speakers:
        options["diarize"] = {"mode": "speaker", "speakers": speakers}
    if model:
        options["route"] = {"model": model}
    import asyncio

    from speechlane.cli.jobs import passing_server, transcribe_all

    async def run() -> bool:
        if url:
            return await transcribe_all(files, options, url=url, key=key, form=None if as_json else form)
        async with passing_server(load_settings({"model": model}, config=config)) as own_url:
            return await transcribe_all(files, options, url=own_url, key=None, form=None if as_json else form)

    if not asyncio.run(run()):
        sys.exit(1)
