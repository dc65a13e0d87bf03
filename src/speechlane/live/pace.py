"""How often a session asks for partials: the step of the overload ladder on which its engine stands.

The ladder is the contract's guarantee 4: partials come slower, then finals only, then the session moves to its next
route. What stands on which step is decided outside (`runtime.governor`); the session is told by `LoadChanged`.
"""

from __future__ import annotations

from speechlane.live import messages
from speechlane.live.events import LADDER, LoadChanged, Step
from speechlane.live.outbox import Outbox

SLOWER = 3
"""How many times as long a partial waits for the next where partials are slowed."""


class Pace:
    """The step in force for one session; tells each change. It is about the session's first route alone."""

    def __init__(self, outbox: Outbox) -> None:
        self._out = outbox
        self._step: Step | None = None
        self._left = False

    @property
    def partials(self) -> bool:
        """Whether text is shown before it is settled."""
        return _rank(self._step) < _rank("finals_only")

    @property
    def slowing(self) -> int:
        """How many times as much new sound as usual a partial waits for."""
        return 1 if self._step is None else SLOWER

    def change(self, event: LoadChanged, *, can_move: bool) -> bool:
        """Take the engine's step; True when the session is to move to its next route.

        A session that cannot move stays on the step below. ``lane.degraded`` tells the step now in force,
        ``lane.restored`` the lowest that is no longer.
        """
        step = event.step
        if step == "offload" and not can_move:
            step = "finals_only"
        if self._left or step == self._step:
            return False
        if _rank(step) > _rank(self._step):
            self._step = step
            self._out.send_durable(messages.lane_degraded(LADDER[_rank(step) - 1], event.lag_ms))
        else:
            self._restore(step, event.lag_ms)
        return step == "offload"

    def leave(self) -> None:
        """The session goes on elsewhere: the load of the route it leaves is no longer its own."""
        self._left = True
        if self._step is not None:
            self._restore(None, 0)

    def _restore(self, step: Step | None, lag_ms: int) -> None:
        self._step = step
        self._out.send_durable(messages.lane_restored(LADDER[_rank(step)], lag_ms))


def _rank(step: Step | None) -> int:
    return 0 if step is None else LADDER.index(step) + 1
