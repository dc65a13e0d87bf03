"""Decides under load: on which step of the overload ladder an engine stands, and whether a session may still join.

Waits are what it goes by, never how busy the engine is: partials fill an engine long before a final has to wait, as
each session asks for the next one when the last is answered. Time is an argument; nothing here sleeps or measures.

All sessions of an engine stand on the same step. Partials are what overload is made of, and all sessions make them
alike; to degrade the newest first would let the moment of joining decide for hours how well a session is served, and
those already in are protected by admission, which a newcomer meets before it has been promised anything.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from speechlane.errors import OverCapacity
from speechlane.live.events import LADDER, Step
from speechlane.runtime.engine_load import SHARES_S, EngineLoad


@dataclass(frozen=True, slots=True, kw_only=True)
class GovernorSettings:
    """Bounds of the governor; waits in ms, the rest in seconds.

    ``max_wait_ms`` is what a final may wait for the engine; every threshold is a part of it. ``final_parts`` and
    ``partial_parts``: the parts of it that a final's and a partial's wait must reach for each step of the ladder
    (a partial's wait moves no session to another route: with finals only there are none). A step is left when both
    are under ``relief`` of that. ``max_share``: how much of the engine finals alone may be expected to take.
    """

    max_wait_ms: int = 2_000
    final_parts: tuple[float, float, float] = (0.25, 0.75, 1.0)
    partial_parts: tuple[float, float] = (0.5, 2.0)
    relief: float = 0.5
    rise_s: float = 1.0
    """For how long a threshold must be passed: one slow window is no overload."""
    pause_s: float = 2.0
    """Between two rises, so that the effect of the first is seen."""
    hold_s: float = 10.0
    """For how long the load must have been low before a step is left."""
    longest_hold_s: float = 160.0
    """The hold doubles up to this each time that a step which was left is soon needed again: its partials were what
    it was needed for."""
    max_share: float = 0.7
    settling_s: float = SHARES_S
    """A session that joined so long ago shows in the measured load."""
    unmeasured_channels: int = 32
    """Channels that may join within ``settling_s`` however few there are; beyond it their number may double."""


class Governor:
    """One engine's step and its admission."""

    def __init__(self, settings: GovernorSettings | None = None, *, workers: int = 1) -> None:
        """``workers``: batches that the engine decodes at the same time."""
        self._settings, self._workers = settings or GovernorSettings(), workers
        self._level = 0
        self._changed_at = self._rose_at = self._left_at = float("-inf")
        self._high_since = self._low_since = float("inf")
        self._hold_s = self._settings.hold_s
        self._channels_then = 0
        self._joined: deque[tuple[float, int]] = deque()

    @property
    def level(self) -> int:
        """How far up the ladder, 0 for not at all."""
        return self._level

    @property
    def step(self) -> Step | None:
        return LADDER[self._level - 1] if self._level else None

    # --- the ladder --------------------------------------------------------------------------------------------

    def update(self, now: float, load: EngineLoad, channels: int, *, can_move: bool = False) -> Step | None:
        """Take the load of this moment; return the step in force from now on.

        ``channels``: those of all sessions. ``can_move``: some session has a next route, so the last step is offered.
        """
        settings = self._settings
        top = len(LADDER) if can_move else len(LADDER) - 1
        high = min(self._wanted(load, 1.0), top) > self._level
        low = self._wanted(load, settings.relief) < self._level
        self._high_since = min(self._high_since, now) if high else now
        self._low_since = min(self._low_since, now) if low else now
        if high and now - self._high_since >= settings.rise_s and now - self._changed_at >= settings.pause_s:
            self._rise(now, channels)
        elif low and now - max(self._low_since, self._changed_at) >= self._patience(channels):
            self._level -= 1
            self._changed_at = self._left_at = self._low_since = now
        return self.step

    def _wanted(self, load: EngineLoad, part: float) -> int:
        """The step that these waits ask for, with all thresholds at a part of their height."""
        bound = self._settings.max_wait_ms * part
        by_finals = sum(load.final_wait_ms >= bound * share for share in self._settings.final_parts)
        by_partials = sum(load.partial_wait_ms >= bound * share for share in self._settings.partial_parts)
        return max(by_finals, by_partials)

    def _rise(self, now: float, channels: int) -> None:
        settings = self._settings
        again = now - self._left_at < 2 * self._hold_s
        self._hold_s = min(2 * self._hold_s, settings.longest_hold_s) if again else settings.hold_s
        self._level += 1
        self._channels_then = channels
        self._changed_at = self._rose_at = self._high_since = self._low_since = now

    def _patience(self, channels: int) -> float:
        """How long to stay: the first hold where half of the sessions have gone, for then the load is another."""
        return self._settings.hold_s if 2 * channels <= self._channels_then else self._hold_s

    # --- admission ---------------------------------------------------------------------------------------------

    def admit(self, now: float, load: EngineLoad, channels: int, joining: int) -> None:
        """Let a session of ``joining`` channels join the ``channels`` there are.

        Raises:
            OverCapacity: ``over_capacity``: finals wait too long already, or are to be expected to with this one; or
                what they take is not known yet, as many joined or the step changed a moment ago.
        """
        settings = self._settings
        worst = settings.max_wait_ms // 2
        if self._level and load.final_wait_ms >= worst:
            raise _refused(
                f"Captions wait {load.final_wait_ms} ms for the engine; over {worst} ms no session is let in.",
                worst,
                settings.hold_s,
            )
        unseen_s = self._rose_at + settings.settling_s - now
        if self._level > LADDER.index("finals_only") and unseen_s > 0:
            # Until now partials did part of the finals' work: what finals alone take is still being measured.
            raise _refused("The server has just gone over to settled text only.", settings.settling_s, unseen_s)
        while self._joined and self._joined[0][0] <= now - settings.settling_s:
            self._joined.popleft()
        unmeasured = min(channels, sum(count for _, count in self._joined))
        measured = channels - unmeasured
        room = max(settings.unmeasured_channels, measured)
        if unmeasured + joining > room and unmeasured:
            raise _refused(
                f"{unmeasured} channels joined in the last {settings.settling_s:g} s, and their load is not known yet;"
                f" at most {room} join at once.",
                room,
                self._joined[0][0] + settings.settling_s - now,
            )
        expected = load.final_share / self._workers * (channels + joining) / measured if measured else 0.0
        if expected > settings.max_share:
            raise _refused(
                f"With one more session settled text alone would take {expected:.0%} of the engine;"
                f" at most {settings.max_share:.0%} is given.",
                settings.max_share,
                settings.settling_s,
            )
        self._joined.append((now, joining))


def _refused(fact: str, limit: float, retry_after_s: float) -> OverCapacity:
    retry_after_ms = max(1_000, round(retry_after_s * 1000))
    return OverCapacity(
        "over_capacity",
        f"{fact} Try again in {retry_after_ms} ms, or on another server.",
        limit=limit,
        retry_after_ms=retry_after_ms,
    )
