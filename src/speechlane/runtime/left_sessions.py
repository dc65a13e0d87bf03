"""The sessions that a process left unfinished: resumed by their clients, or finished when nobody comes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechlane.errors import Conflict, InvalidInput, NotFound, SpeechlaneError, StorageFailed
from speechlane.live.config import SessionHead
from speechlane.live.endings import restarting
from speechlane.live.log import read_log
from speechlane.runtime.live_driver import LiveDriver
from speechlane.runtime.session_files import SPOOL
from speechlane.runtime.session_log import NAME

_LOGGER = logging.getLogger(__name__)

REPLAYS = 1
"""Logs replayed at a time, in threads of their own: more take as long, and hold up the loop (p95 4 ms; two 19 ms)."""

AGAIN_S = 10
"""Shortest pause before what could not be finished is tried again."""

_FOR_EVER = (InvalidInput, Conflict, NotFound)
"""What no other try mends; whatever else stands in the way, a full disk say, may pass."""


@dataclass(slots=True)
class _Left:
    taking_up: asyncio.Task[LiveDriver] | None = None
    awaited: bool = False
    """Whether a client waits for it."""


class LeftSessions:
    """Found by what they stored under ``folder``; ``restore`` makes one's driver again and runs it."""

    def __init__(
        self, folder: Path, restore: Callable[[SessionHead, Executor], Coroutine[Any, Any, LiveDriver]]
    ) -> None:
        self._folder, self._restore = folder, restore
        self._sessions: dict[str, _Left] = {}
        self._finishing: asyncio.Task[None] | None = None
        self._replays = ThreadPoolExecutor(REPLAYS, "replay")

    def add(self, session: str) -> None:
        """This one was cut short just now."""
        self._sessions[session] = _Left()

    def __contains__(self, session: str) -> bool:
        return session in self._sessions

    async def start(self, window_s: float) -> None:
        """Find what other processes left; finish what nobody resumes within the window, in the background."""
        for session in await asyncio.to_thread(self._found):
            self.add(session)
        self._finishing = asyncio.create_task(self._finish(window_s))

    def _found(self) -> list[str]:
        return sorted(spool.parent.name for spool in self._folder.glob(f"*/{SPOOL}"))

    async def stop(self) -> None:
        """Leave them for the next process, those that are being taken up too."""
        tasks = [left.taking_up for left in self._sessions.values() if left.taking_up is not None]
        for task in (self._finishing, *tasks):
            if task is not None:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._replays.shutdown(wait=False, cancel_futures=True)

    def head(self, session: str) -> SessionHead | None:
        """The head of one's log; None where there is no such session, or none that can be taken up.

        Raises:
            StorageFailed: ``log_unreadable``; it may be tried again.
        """
        if session not in self._sessions:
            return None
        try:
            return _read_head(self._folder / session / NAME)
        except _FOR_EVER as problem:
            self._leave(session, problem)
            return None

    async def take_up(self, head: SessionHead) -> LiveDriver:
        """One's driver, running, for a client; several who ask at a time get the same one.

        Raises:
            NotFound: ``session_left``: it cannot go on here; the log tells why.
            OverCapacity: ``server_restart``: the server stops.
            SpeechlaneError: whatever else stood in the way, ``retryable``: the session is still there.
        """
        left = self._sessions.get(head.session)
        if left is None:
            raise NotFound("session_left", f"Session {head.session} is not left here any more.", field="session")
        left.awaited = True
        return await self._take_up(head, left)

    async def _take_up(self, head: SessionHead, left: _Left) -> LiveDriver:
        if left.taking_up is None:
            left.taking_up = asyncio.create_task(self._restore(head, self._replays))
            left.taking_up.add_done_callback(lambda task: self._taken_up(head.session, left, task))
        task = left.taking_up
        await asyncio.wait([task])  # who asks may go away: others wait, or the window ends
        if task.cancelled():
            raise restarting(resumable=True)
        problem = task.exception()
        if isinstance(problem, _FOR_EVER):
            raise NotFound("session_left", problem.message, field="session") from problem
        if isinstance(problem, SpeechlaneError):
            problem.retryable = True
        return task.result()

    def _taken_up(self, session: str, left: _Left, task: asyncio.Task[LiveDriver]) -> None:
        left.taking_up = None
        if task.cancelled():
            return
        problem = task.exception()
        if problem is None:
            self._sessions.pop(session, None)
            return
        left.awaited = False
        if isinstance(problem, _FOR_EVER):
            self._leave(session, problem)
        else:
            _LOGGER.error("session %s could not be taken up; it may be tried again", session, exc_info=problem)

    async def _finish(self, window_s: float) -> None:
        """One after another: live sessions come first."""
        pause = window_s
        while True:
            waited = list(self._sessions.items())
            await asyncio.sleep(pause)
            pause = max(window_s, AGAIN_S)
            for session, left in waited:
                if self._sessions.get(session) is left and left.taking_up is None:
                    try:
                        await self._finish_one(session, left)
                    except SpeechlaneError:
                        continue  # the log has been told
                    except Exception:
                        _LOGGER.exception("session %s could not be finished", session)

    async def _finish_one(self, session: str, left: _Left) -> None:
        head = self.head(session)
        if head is None:
            return
        driver = await self._take_up(head, left)
        if not left.awaited:  # else its client has come after all
            driver.finish()
            await driver.ended.wait()

    def _leave(self, session: str, problem: SpeechlaneError) -> None:
        self._sessions.pop(session, None)
        _LOGGER.warning("session %s is left as it is: %s", session, problem)


def _read_head(path: Path) -> SessionHead:
    try:
        with path.open(encoding="utf-8") as file:
            head = next(read_log([file.readline()]))
    except FileNotFoundError as error:
        raise NotFound("log_missing", f"There is no log {path}. Restore it from a copy.", field="log") from error
    except UnicodeDecodeError as error:
        raise InvalidInput("not_a_log", f"{path} is no text ({error}). Restore it from a copy.", field="log") from error
    except OSError as error:
        raise StorageFailed(
            "log_unreadable",
            f"The log {path} cannot be read ({error}). Give the server access to it, then resume the session.",
            retryable=True,
        ) from error
    if not isinstance(head, SessionHead):
        raise InvalidInput("not_a_log", f"{path} does not begin with a head. Restore it from a copy.", field="log")
    return head
