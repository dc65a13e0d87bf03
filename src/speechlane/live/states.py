"""The states of a session, and every transition between them.

::

    OPEN --finish, idle, too long, shutdown--> FINISHING --all settled--> CLOSED
    OPEN --shutdown, where a resume is offered--> DRAINING --all settled--> SUSPENDED
    DRAINING, SUSPENDED --the server is back--> OPEN
    DRAINING, SUSPENDED --finish--> FINISHING
    OPEN, FINISHING, DRAINING --engine gone--> CLOSED
"""

from __future__ import annotations

import enum


class State(enum.Enum):
    """Where a session stands."""

    OPEN = "open"
    FINISHING = "finishing"
    """No more audio is taken; what was heard is being settled."""
    DRAINING = "draining"
    """The server stops: what was heard is being settled, up to the next pause; the session is not over."""
    SUSPENDED = "suspended"
    """The server stops and all is settled; the session can be resumed once the server is back."""
    CLOSED = "closed"


class Turn(enum.Enum):
    """What moves a session on."""

    FINISH = "finish"
    DRAIN = "drain"
    RESTART = "restart"
    SETTLED = "settled"
    BROKEN = "broken"


TRANSITIONS: dict[tuple[State, Turn], State] = {
    (State.OPEN, Turn.FINISH): State.FINISHING,
    (State.OPEN, Turn.DRAIN): State.DRAINING,
    (State.OPEN, Turn.BROKEN): State.CLOSED,
    (State.FINISHING, Turn.SETTLED): State.CLOSED,
    (State.FINISHING, Turn.BROKEN): State.CLOSED,
    (State.DRAINING, Turn.SETTLED): State.SUSPENDED,
    (State.DRAINING, Turn.BROKEN): State.CLOSED,
    (State.DRAINING, Turn.FINISH): State.FINISHING,
    (State.DRAINING, Turn.RESTART): State.OPEN,
    (State.SUSPENDED, Turn.FINISH): State.FINISHING,
    (State.SUSPENDED, Turn.RESTART): State.OPEN,
}
