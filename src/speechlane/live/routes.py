"""The routes of one session, in order of preference, and which of them is in force."""

from __future__ import annotations

from collections.abc import Sequence

from speechlane.live.outbox import Outbox
from speechlane.live.pace import Pace
from speechlane.router import Route


class Routes:
    """Moves on when a route fails and never back: a route that failed amid a session is not tried in it again."""

    def __init__(self, routes: Sequence[Route], outbox: Outbox) -> None:
        self._routes = tuple(routes)
        self.pace = Pace(outbox)
        """How often the route in force is asked."""
        self.index = 0
        """Which route is in force, from 0."""

    @property
    def current(self) -> Route:
        return self._routes[self.index]

    @property
    def all(self) -> tuple[Route, ...]:
        return self._routes

    @property
    def has_next(self) -> bool:
        return self.index + 1 < len(self._routes)

    def advance(self) -> tuple[Route, Route]:
        """Put the next route in force; return the one before and the one in force now."""
        before = self.current
        self.index += 1
        return before, self.current

    def renew(self, routes: Sequence[Route]) -> tuple[Route, Route]:
        """Put these in the places of the ones there are; return what was in force before and what is now."""
        before, self._routes = self.current, tuple(routes)
        return before, self.current
