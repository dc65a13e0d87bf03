"""When the client was last heard of, and when patience with it ends."""

from __future__ import annotations

from collections.abc import Iterator

from speechlane.live.config import SessionLimits
from speechlane.live.states import State

DRAIN_PAUSE_MS = 3_000
"""How long a stop of the server waits for a pause in what is being said, before it cuts there."""


class Presence:
    """Moments in ms since the session began."""

    def __init__(self, limits: SessionLimits) -> None:
        self._limits = limits
        self._activity = 0
        self._audio = 0
        self._draining_since = 0
        self.lost_at: int | None = None
        """Since when the connection is gone."""

    def active(self, at: int) -> None:
        """Something came of the client, or an answer that it may have waited for."""
        self._activity = max(self._activity, at)

    def heard(self, at: int) -> None:
        """Audio came."""
        self._audio = at
        self.active(at)

    def back(self, at: int) -> None:
        """A new connection has the session."""
        self.lost_at = None
        self.heard(at)

    def drain(self, at: int) -> None:
        """The server stops."""
        self._draining_since = at

    def deadlines(self, state: State, *, engine_behind: bool, speaking: bool) -> Iterator[tuple[int, str]]:
        """What is due when: ``pause``, ``long``, ``lost``, ``idle``, ``stall``."""
        if state is State.DRAINING and speaking:
            yield self._draining_since + DRAIN_PAUSE_MS, "pause"
        if state is State.OPEN:
            yield self._limits.max_session_ms, "long"  # a client that only pings holds its place no longer than others
        if state is not State.OPEN or engine_behind:
            return  # while the engine is behind, a silent client may be held back by us
        if self.lost_at is not None:
            yield self.lost_at + self._limits.resume_window_ms, "lost"
            return
        yield self._activity + self._limits.idle_timeout_ms, "idle"
        if speaking:
            yield self._audio + self._limits.stall_ms, "stall"
