"""How the demo looks: one console, in colour in a terminal, plain lines in a pipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from speechlane import __version__
from speechlane.cli.common import clock
from speechlane.cli.jobs import Report, job_progress
from speechlane.cli.live_view import drawn_captions, final_row
from speechlane.cli.streaming import Show
from speechlane.client import Caption

MAKER_FIELDS = ("engine_version", "model", "model_revision", "model_digest", "device", "compute_type")

FILE_KINDS = {
    "transcripts": {"json", "txt"},
    "captions": {"vtt", "srt"},
    "speakers": {"rttm"},
    "live finals": {"finals.json"},
    "manifests": {"manifest.json"},
}
"""Endings of the demo's files, by what they are."""


def near_home(path: Path) -> str:
    """The path as a shell takes it, short where it lies in the home folder."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


class DemoView:
    """Shows each part of the demo as it happens; holds nothing but the console."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def starting(self) -> None:
        self._console.print(f"[bold]Speechlane {__version__}[/]: real speech through a real server")

    def ready(self, url: str, folder: Path) -> None:
        self._line(f"server at {url}, data in {near_home(folder / 'server')}", style="dim")

    @contextmanager
    def live(self, name: str) -> Iterator[Show]:
        self._heading("Live", f"{name} over a WebSocket, in real time")
        with drawn_captions(self._console) as show:
            yield show

    def live_figures(self, live: Mapping[str, Any]) -> None:
        late = live["finished_s"] - live["duration_ms"] / 1000
        self._line(
            f"first words shown {live['first_partial_lag_s']:.1f} s after they began, {live['partials']} updates, "
            f"{len(live['finals'])} settled captions, the last one {late:.1f} s after the end of the sound",
            style="dim",
        )

    @contextmanager
    def job(self, name: str, options: Mapping[str, Any]) -> Iterator[Report]:
        self._heading("Batch", f"{name} as a job{', speakers told apart' if options else ''}")
        with job_progress(self._console, name) as report:
            yield report

    def transcript(self, batch: Mapping[str, Any]) -> None:
        """The diarized transcript, and how right its speakers are."""
        for segment in batch["transcript"]["segments"]:
            self._console.print(final_row(Caption.of(segment)))
        error = batch["der_seconds"]
        self._line(
            f"diarization error rate {batch['der']:.1%} against the recording's own speaker turns, no collar, overlaps "
            f"counted: of {error['speech']:.1f} s of speech {error['missed']:.1f} s missed, "
            f"{error['false_alarm']:.1f} s too much, {error['confusion']:.1f} s with the wrong speaker",
            style="dim",
        )

    def clip(self, scored: Mapping[str, Any]) -> None:
        """The second clip's text, and how right its words are."""
        self._line(scored["text"])
        self._line(
            f"word error rate {scored['wer']:.1%}: {scored['errors']} errors in {scored['words']} words of the "
            "reference, after Whisper's English normalisation",
            style="dim",
        )

    def provenance(
        self,
        records: Sequence[Mapping[str, Any]],
        manifest: Mapping[str, Any],
        languages: Mapping[str, Sequence[str]],
    ) -> None:
        """What made the text: its makers in full, then one line a chunk. ``languages``: those of each model."""
        self._heading("What made the text", "one record for each chunk, chained by hash")
        for maker in dict.fromkeys(tuple(record[name] for name in MAKER_FIELDS) for record in records):
            made = dict(zip(MAKER_FIELDS, maker, strict=True))
            self._line(f"engine    {made['engine_version']}, {made['compute_type']} on {made['device']}")
            self._line(f"model     {made['model']} revision {made['model_revision']}")
            self._line(f"digest    {made['model_digest']}")
        self._line(f"speakers  {manifest['diarizer']['diarizer']}: {manifest['diarizer']['diarizer_version']}")
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in ("lane", "audio", "engine and model", "asked, found", "record"):
            table.add_column(name, no_wrap=True)
        for record in records:
            known = languages[record["model"]]
            only = f"{known[0]} only" if len(known) == 1 else "unknown"
            table.add_row(
                record["lane"],
                f"{clock(record['start_ms'])}-{clock(record['end_ms'])}",
                f"{record['engine']} {record['model']}@{(record['model_revision'] or 'unknown')[:7]}",
                f"{record['locale_requested']}, {record['locale_detected'] or only}",
                record["hash"][:8],
            )
        self._console.print(table)

    def files(self, written: Sequence[Path], log: Path) -> None:
        """Where everything lies, by kind; all of it is in one folder."""
        self._heading("Files", f"in {near_home(written[0].parent)}")
        for kind, endings in FILE_KINDS.items():
            names = [path.name for path in written if path.name.partition(".")[2] in endings]
            self._line(f"{kind:11}  {', '.join(names)}")
        if log.is_file():
            # Unbroken, so that it can be copied as one line.
            self._console.print(Text(f"{'event log':11}  speechlane replay {near_home(log)}"), soft_wrap=True)

    def done(self, seconds: float) -> None:
        self._console.print()
        self._line(f"done in {seconds:.0f} s", style="bold green")

    def _heading(self, title: str, about: str) -> None:
        self._console.print()
        self._console.print(Text.assemble((title, "bold"), "  ", (about, "dim")))

    def _line(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style=style))
