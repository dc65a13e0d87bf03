"""The states of a session, and every transition between them.

::

    OPEN --finish, idle, too long, shutdown--> FINISHING --all settled--> CLOSED
    OPEN, FINISHING --engine gone--> CLOSED
"""

from __future__ import annotations

import enum


class State(enum.Enum):
    """Where a session stands."""

    OPEN = "open"
    FINISHING = "finishing"
    """No more audio is taken; what was heard is being settled."""
    CLOSED = "closed"


class Turn(enum.Enum):
    """What moves a session on."""

    FINISH = "finish"
    SETTLED = "settled"
    BROKEN = "broken"


TRANSITIONS: dict[tuple[State, Turn], State] = {
    (State.OPEN, Turn.FINISH): State.FINISHING,
    (State.OPEN, Turn.BROKEN): State.CLOSED,
    (State.FINISHING, Turn.SETTLED): State.CLOSED,
    (State.FINISHING, Turn.BROKEN): State.CLOSED,
}
