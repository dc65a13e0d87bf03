"""How long a segment bears with an engine that fails: when its decode is asked for again, and when patience ends."""

from __future__ import annotations

FIRST_PAUSE_MS = 250
LONGEST_PAUSE_MS = 2_000
"""Pauses before another try double from the first to the longest: an engine that recovers is not met by a crowd."""


class Retries:
    """The failures in a row of one segment's decodes; moments in ms since the session began."""

    def __init__(self) -> None:
        self.due: int | None = None
        """When the decode that failed is asked for again; None when none waits."""
        self._since: int | None = None
        self._pause = FIRST_PAUSE_MS

    def failed(self, at: int, patience: int, *, owed: bool, refused: bool) -> bool:
        """Take a failure; False when the engine has done nothing else for ``patience`` ms.

        ``owed``: nothing goes on without this decode, so another try is due after a pause; a partial is not missed, the
        next step asks again. ``refused``: the engine had no room, which says nothing of its health: a partial that was
        refused does not count.
        """
        if refused and not owed:
            return True
        if self._since is None:
            self._since = at
        end = self._since + patience
        if at >= end:
            return False
        if owed:
            self.due = min(at + self._pause, end)
            self._pause = min(2 * self._pause, LONGEST_PAUSE_MS)
        return True

    def waiting(self, at: int) -> bool:
        """Whether it is too early for another try; once it is not, none is due any more."""
        if self.due is not None and at < self.due:
            return True
        self.due = None
        return False
