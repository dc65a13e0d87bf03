"""The sessions that a process left unfinished: resumed by their clients, or finished when nobody comes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from speechlane.errors import InvalidInput, NotFound, SpeechlaneError, StorageFailed
from speechlane.live.config import SessionHead
from speechlane.live.log import read_log
from speechlane.runtime.live_driver import LiveDriver
from speechlane.runtime.session_files import SPOOL
from speechlane.runtime.session_log import NAME

_LOGGER = logging.getLogger(__name__)


class LeftSessions:
    """Found by what they stored under ``folder``; ``restore`` makes one's driver again and runs it."""

    def __init__(self, folder: Path, restore: Callable[[SessionHead], Awaitable[LiveDriver]]) -> None:
        self._folder, self._restore = folder, restore
        self._sessions: dict[str, asyncio.Future[LiveDriver] | None] = {}
        self._finishing: asyncio.Task[None] | None = None

    def add(self, session: str) -> None:
        """This one was cut short just now."""
        self._sessions[session] = None

    def __contains__(self, session: str) -> bool:
        return session in self._sessions

    async def start(self, window_s: float) -> None:
        """Find what other processes left; finish what nobody resumes within the window, in the background."""
        for session in await asyncio.to_thread(self._found):
            self.add(session)
        if self._sessions:
            self._finishing = asyncio.create_task(self._finish(window_s))

    def _found(self) -> list[str]:
        return sorted(spool.parent.name for spool in self._folder.glob(f"*/{SPOOL}"))

    def stop(self) -> None:
        """Leave them for the next process."""
        if self._finishing is not None:
            self._finishing.cancel()

    def head(self, session: str) -> SessionHead | None:
        """The head of one's log; None where there is no such session, or none that can be read."""
        if session not in self._sessions:
            return None
        try:
            return _read_head(self._folder / session / NAME)
        except SpeechlaneError as problem:
            self._leave(session, problem)
            return None

    async def take_up(self, head: SessionHead) -> LiveDriver:
        """One's driver, running; several who ask at a time get the same one.

        Raises:
            NotFound: ``session_left``: it cannot go on here; the log tells why.
        """
        task = self._sessions.get(head.session)
        if task is None:
            task = self._sessions[head.session] = asyncio.ensure_future(self._restore(head))
        try:
            return await asyncio.shield(task)
        except SpeechlaneError as problem:
            self._leave(head.session, problem)
            raise NotFound("session_left", problem.message, field="session") from problem
        finally:
            if task.done():
                self._sessions.pop(head.session, None)

    async def _finish(self, window_s: float) -> None:
        """One after another: live sessions come first."""
        await asyncio.sleep(window_s)
        for session in list(self._sessions):
            try:
                head = self.head(session)
                if head is not None:
                    driver = await self.take_up(head)
                    driver.finish()
                    await driver.ended.wait()
            except NotFound:
                continue  # the log has been told
            except Exception:
                _LOGGER.exception("session %s could not be finished", session)

    def _leave(self, session: str, problem: SpeechlaneError) -> None:
        self._sessions.pop(session, None)
        _LOGGER.warning("session %s is left as it is: %s", session, problem)


def _read_head(path: Path) -> SessionHead:
    try:
        with path.open(encoding="utf-8") as file:
            head = next(read_log([file.readline()]))
    except (OSError, UnicodeDecodeError) as error:
        raise StorageFailed("log_unreadable", f"The log {path} cannot be read ({error}). Restore it.") from error
    if not isinstance(head, SessionHead):
        raise InvalidInput("not_a_log", f"{path} does not begin with a head. Restore it from a copy.", field="log")
    return head
