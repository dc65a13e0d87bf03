"""``speechlane live``: stream a file or the microphone and draw captions as they settle."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from speechlane.cli.common import DEFAULT_URL, key_option, readable_file


class _Speed(click.FloatRange):
    """A range that not-a-number is outside of, too: each comparison with it is false, so it passes click's own."""

    name = "speed"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        speed = float(super().convert(value, param, ctx))
        if math.isnan(speed):
            self.fail(f"{value!r} is no number.", param, ctx)
        return speed


@click.command()
@click.argument("file", required=False, type=readable_file)
@click.option("--mic", is_flag=True, help="Listen to the microphone instead of a file.")
@click.option("--url", envvar="SPEECHLANE_URL", default=DEFAULT_URL, show_default=True, help="The server.")
@key_option
@click.option("--language", default="auto", show_default=True, help='BCP-47 tag such as "en", or "auto" to detect.')
@click.option("--speed", default=1.0, show_default=True, type=_Speed(0, 1_000, min_open=True), help="Times real time.")
@click.option(
    "--keyterm", "keyterms", multiple=True, metavar="TERM", help="A name or term to listen for; repeat for more."
)
@click.option("--json", "as_json", is_flag=True, help="One received message a line, with received_s.")
def live(
    file: Path | None,
    *,
    mic: bool,
    url: str,
    key: str | None,
    language: str,
    speed: float,
    keyterms: tuple[str, ...],
    as_json: bool,
) -> None:
    """Stream FILE in real time, or the microphone, and show captions as they settle.

    With --json, received_s counts seconds from the moment the first audio was sent (0 before). Frame n of 100 ms is
    sent n x 100 ms after the first. A lost connection is taken up again. Ctrl-C ends the stream and waits for the
    last captions.
    """
    if (file is None) != mic:
        raise click.UsageError("Give either a FILE or --mic.")
    import asyncio

    from speechlane.cli.live_view import caption_view
    from speechlane.cli.streaming import file_frames, microphone_frames, stop_on_interrupt, stream
    from speechlane.client import LiveClient, Message

    async def run() -> None:
        stop = stop_on_interrupt()
        frames = file_frames(file, speed=speed, stop=stop) if file else microphone_frames(stop=stop)
        with caption_view(as_json=as_json) as view:

            def show(message: Message, received_s: float) -> None:
                if message["type"] == "session.started" and not as_json:  # where it is in the message
                    click.echo(f"session {message['session']}", err=True)
                view(message, received_s)

            options = {"keyterms": list(keyterms)} if keyterms else {}
            async with LiveClient(url, language=language, key=key, options=options) as client:
                await stream(client, frames, show)

    asyncio.run(run())
