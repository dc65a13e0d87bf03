"""Deletes what live sessions wrote, some days after they ended: logs hold text, metadata and a token."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from speechlane.runtime.live_hub import LiveHub
from speechlane.runtime.session_files import SESSION_ID
from speechlane.runtime.session_log import NAME

_LOGGER = logging.getLogger(__name__)

EVERY_S = 3_600
_DAY_S = 86_400


class LiveRetention:
    """Sweeps ``logs`` at its start and every hour. Records in the registry stay: they hold digests, no text.

    A session has ended when the hub holds it no more, at the last write to its log. ``clock`` is that of the files.
    """

    def __init__(self, logs: Path, hub: LiveHub, days: int, clock: Callable[[], float] = time.time) -> None:
        self._logs, self._hub, self._keep_s, self._clock = logs, hub, days * _DAY_S, clock
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Sweep now and from then on, in the background; the hub has found what other processes left."""
        self._task = asyncio.create_task(self._run())

    async def aclose(self) -> None:
        """Stop; what a sweep under way has not deleted waits for the next one."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                await self.sweep()
            except OSError as error:
                _LOGGER.warning("%s cannot be swept (%s)", self._logs, error.strerror or error)
            await asyncio.sleep(EVERY_S)

    async def sweep(self) -> list[str]:
        """Delete the folders of the sessions that ended long enough ago; their ids.

        Raises:
            OSError: the folder of all logs cannot be read.
        """
        deleted = []
        for folder in await asyncio.to_thread(_written_before, self._logs, self._clock() - self._keep_s):
            if self._hub.holds(folder.name):
                continue
            try:
                await asyncio.to_thread(shutil.rmtree, folder)
                deleted.append(folder.name)
            except OSError as error:  # it keeps no other from being deleted
                _LOGGER.warning("%s cannot be deleted (%s)", folder, error.strerror or error)
        if deleted:
            _LOGGER.info("deleted %d live sessions that ended %d days ago", len(deleted), self._keep_s // _DAY_S)
        return deleted


def _written_before(logs: Path, moment: float) -> list[Path]:
    if not logs.is_dir():
        return []
    folders = (folder for folder in logs.iterdir() if SESSION_ID.fullmatch(folder.name))
    return sorted(folder for folder in folders if _last_written(folder) < moment)


def _last_written(folder: Path) -> float:
    log = folder / NAME
    return (log if log.exists() else folder).stat().st_mtime  # a sweep that was cut short leaves no log
