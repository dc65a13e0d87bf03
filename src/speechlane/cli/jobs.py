"""Posting a recording and following it, for `transcribe` and the demo: one server, given or embedded."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from speechlane.client import JobsClient
from speechlane.client.address import refusal
from speechlane.client.jobs import Job
from speechlane.errors import SpeechlaneError
from speechlane.settings import Settings

Report = Callable[[Job], None]
"""Takes the job each time it was asked for."""


@asynccontextmanager
async def own_server(settings: Settings) -> AsyncIterator[str]:
    """A server of this process on a free loopback port, which needs no key; yields its URL."""
    from speechlane.bootstrap import embedded

    async with embedded(replace(settings, host="127.0.0.1", port=0, api_keys={})) as url:
        yield url


@asynccontextmanager
async def passing_server(settings: Settings) -> AsyncIterator[str]:
    """`own_server` on a data folder that goes away with it."""
    with tempfile.TemporaryDirectory(prefix="speechlane-") as folder:
        async with own_server(replace(settings, data=Path(folder))) as url:
            yield url


async def finished_job(client: JobsClient, path: Path, options: Mapping[str, Any], report: Report) -> Job:
    """Post a recording and wait for its end.

    Raises:
        SpeechlaneError: the server refused it, or the job did not succeed.
    """
    job = await client.submit(path, options)
    async for seen in client.follow(job["id"]):
        job = seen
        report(job)
    if job["state"] != "succeeded":
        ended = {
            "code": f"job_{job['state']}",
            "message": f"The job {job['id']} ended as {job['state']}. Post it again.",
        }
        raise refusal(job.get("error") or ended)
    return job


async def transcribe_all(
    files: Sequence[Path], options: Mapping[str, Any], *, url: str, key: str | None, form: str | None
) -> bool:
    """Each file's transcript on standard output, in order; a file that fails is told and does not stop the others.

    Args:
        files: recordings.
        options: of each job, as section 2 of the protocol names them.
        url: the server.
        key: its API key, if it wants one.
        form: format of the transcripts; None for one JSON object a line: file, job, transcript, error.

    Returns:
        Whether all succeeded.
    """
    done = True
    console = Console(stderr=True)
    async with JobsClient(url, key=key) as client:
        for file in files:
            result: dict[str, Any] = {"file": str(file), "job": None, "transcript": None, "error": None}
            try:
                with job_progress(console, file.name) as report:
                    result["job"] = job = await finished_job(client, file, options, report)
                for warning in job.get("warnings", []):
                    click.echo(f"warning: {file}: {warning['message']}", err=True)
                where = f"/v1/jobs/{job['id']}/transcript"
                if form:
                    click.echo((await client.text(where, format=form)).rstrip("\n"))
                else:
                    result["transcript"] = await client.json(where, format="json")
            except SpeechlaneError as error:
                done = False
                result["error"] = error.as_fields()
                click.echo(f"error: {file}: {error.message} [{error.code}]", err=True)
            if not form:
                click.echo(json.dumps(result, ensure_ascii=False))
    return done


@contextmanager
def job_progress(console: Console, name: str) -> Iterator[Report]:
    """Shows how far a job is: a bar that goes away in a terminal, a line at each change of state elsewhere."""
    if not console.is_terminal:
        yield _lines(name)
        return
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(name, total=None, state="sending")

        def report(job: Job) -> None:
            done, total = job["progress"]["chunks_done"], job["progress"]["chunks_total"]
            state = f"{job['state']} {done}/{total} chunks" if total else job["state"]
            progress.update(task, completed=done or 0, total=total or None, state=state)

        yield report


def _lines(name: str) -> Report:
    told: list[str] = []

    def report(job: Job) -> None:
        if job["state"] not in told:
            told.append(job["state"])
            click.echo(f"{name}: {job['state']}", err=True)

    return report
