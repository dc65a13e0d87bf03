"""Durable workflows over DBOS, behind our own seam: nothing else in the program knows that DBOS exists.

A workflow is a coroutine over one job id. It does its work in named steps; a step's result, a JSON value, is stored
when the step is done, and a workflow that was interrupted (kill -9 included) is run again at the next start with its
finished steps answered from the store. The step in flight is run again, so steps must be able to bear that.

What DBOS 3.4 must be told (docs/decisions/0006): values as JSON instead of pickle; WAL on its SQLite file; a fixed
application version, because it does not take up work of another one; a fixed executor id, by which it knows its own
interrupted work; and a log level, since it is talkative and advertises.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer, SetWorkflowID

from speechlane.errors import StorageFailed

T = TypeVar("T")

APPLICATION = "speechlane"
QUEUE = "jobs"
VERSION = "1"
"""Of the order of a workflow's steps. Changing that order means a new number; work in flight waits for the old one."""

POLL_S = 0.25
"""How often a worker looks for queued jobs: on two cores an idle one costs 2 % of a core at this pace, 4.5 % at 0.1."""


class Step(Protocol):
    """Runs a piece of work once and stores its result; called in the same order whenever the workflow is run."""

    async def __call__(self, name: str, work: Callable[[], Awaitable[T]]) -> T:
        """The result of ``work``, a JSON value; from the store when this step was done before."""
        ...


Workflow = Callable[[str, Step], Awaitable[None]]


class DurableRunner:
    """Runs one kind of workflow, ``concurrency`` at a time, on the event loop that it was started on.

    One in a process (DBOS is a singleton) and one on a database: who starts second would take up the first one's work.
    """

    _started: ClassVar[bool] = False

    def __init__(self, database: Path, *, concurrency: int = 2) -> None:
        self._database = database
        self._url = f"sqlite:///{database}"
        self._concurrency = concurrency
        self._registered: Callable[[str], Any] | None = None
        self._running: set[asyncio.Task[Any]] = set()

    async def start(self, workflow: Workflow) -> None:
        """Open the store, take up what was interrupted, and begin to work off what is enqueued.

        Raises:
            StorageFailed: ``database_failed`` when the store cannot be opened or written.
        """
        assert not DurableRunner._started, "another DurableRunner of this process is open; close it first"

        async def run(job_id: str) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._running.add(task)
            try:
                await workflow(job_id, _step)
            finally:
                self._running.discard(task)

        try:
            await asyncio.to_thread(self._prepare)
            DBOS(
                config={
                    "name": APPLICATION,
                    "system_database_url": self._url,
                    "serializer": DBOSPortableJSONSerializer(),
                    "application_version": VERSION,
                    "executor_id": "local",
                    "enable_otlp": False,
                    "log_level": "CRITICAL",
                }
            )
            DurableRunner._started = True
            self._registered = DBOS.workflow(name="job")(run)
            # Launched from within the loop, workflows run on it, beside the engine that they ask.
            DBOS.launch()
        except Exception as error:  # DBOS raises its own, SQLAlchemy's and sqlite3's errors
            await self.aclose()
            raise StorageFailed(
                "database_failed",
                f"The workflow database {self._database} failed: {error}. Check that its folder can be written and has"
                " free space.",
                field="data",
            ) from error

    def _prepare(self) -> None:
        with contextlib.closing(sqlite3.connect(self._database)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")  # once: it stays with the file
        DBOS.migrate(self._url)
        client = DBOSClient(system_database_url=self._url, application_name=APPLICATION)
        try:  # a queue that is there before the launch is worked off at once, one made later after a second
            client.register_queue(QUEUE, worker_concurrency=self._concurrency, polling_interval_sec=POLL_S)
        finally:
            client.destroy()

    async def enqueue(self, job_id: str) -> None:
        """Have the workflow run for this id, once: enqueueing it again, now or in a later process, does nothing."""
        assert self._registered is not None, "start the runner first"
        with SetWorkflowID(job_id):
            await DBOS.enqueue_workflow_async(QUEUE, self._registered, job_id)

    async def is_over(self, job_id: str) -> bool:
        """Whether the workflow of this id will not run any more, however it ended; False where there is none."""
        status = await DBOS.get_workflow_status_async(job_id)
        return status is not None and status.status not in {"ENQUEUED", "DELAYED", "PENDING"}

    async def aclose(self) -> None:
        """Interrupt what runs, to be taken up at the next start, and close the store."""
        if not DurableRunner._started:
            return
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await asyncio.to_thread(DBOS.destroy, destroy_registry=True)
        DurableRunner._started = False
        # DBOS has put its own executor, closed now, in the place of the loop's.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(thread_name_prefix="asyncio"))


async def _step(name: str, work: Callable[[], Awaitable[T]]) -> T:
    async def run() -> T:
        return await work()

    return await DBOS.run_step_async({"name": name}, run)
