"""Record pictures of a real demo run for the README: ``docs/images/live.svg`` and ``docs/images/demo.svg``.

    .venv/bin/python scripts/record_demo.py

The demo runs as ever, on a console that keeps what it shows. The first picture is the live part at a moment when some
words are settled and others may still change; the second is the whole run. Data goes to a temporary home folder.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from speechlane.cli.demo_run import run_demo
from speechlane.cli.demo_view import DemoView
from speechlane.cli.live_view import final_row, partial_row
from speechlane.cli.streaming import Show
from speechlane.client import Caption, Message
from speechlane.settings import load_settings

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
WIDTH = 120
ENOUGH_SETTLED = 2
ENOUGH_WORDS = 3


class RecordedView(DemoView):
    """Shows the demo and keeps the screen of one moment of its live part."""

    def __init__(self, console: Console, moment: Console) -> None:
        super().__init__(console)
        self._moment = moment
        self._settled: list[Message] = []
        self._taken = False

    @contextmanager
    def live(self, name: str) -> Iterator[Show]:
        with super().live(name) as draw:

            def show(message: Message, received_s: float) -> None:
                draw(message, received_s)
                if message["type"] == "caption.final":
                    self._settled.append(message)
                elif message["type"] == "caption.partial" and not self._taken:
                    self._take(message)

            yield show

    def _take(self, partial: Message) -> None:
        words = partial["words"]
        stable = sum(word["stable"] for word in words)
        if len(self._settled) >= ENOUGH_SETTLED and stable >= ENOUGH_WORDS and stable < len(words):
            self._taken = True
            for final in self._settled:
                self._moment.print(final_row(Caption.of(final)))
            self._moment.print(partial_row(Caption.of(partial)))


def main() -> None:
    models = load_settings().models
    quiet = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - open as long as the consoles
    whole, moment = (Console(record=True, width=WIDTH, file=quiet, highlight=False) for _ in range(2))
    with tempfile.TemporaryDirectory() as home:
        os.environ["HOME"] = home
        settings = load_settings({"models": models})
        asyncio.run(run_demo(settings, RecordedView(whole, moment)))
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, console, title in (("live", moment, "speechlane live"), ("demo", whole, "make demo")):
        svg = console.export_svg(title=title)
        # Readers' own fonts will do; a picture should load nothing.
        svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
        (IMAGES / f"{name}.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
