"""A session on the overload ladder: what it tells, how often it asks, where it goes."""

from __future__ import annotations

import dataclasses

import pytest
from live_simulation import BLOCK, FRAME, head

from speechlane.engine import Hypothesis
from speechlane.live import Session, events
from speechlane.live.actions import Decode, Send

pytestmark = pytest.mark.unit


def two_routes():
    one = head()
    second = dataclasses.replace(
        one.routes[0], identity=dataclasses.replace(one.routes[0].identity, engine="second"), reason="next"
    )
    return dataclasses.replace(one, routes=(one.routes[0], second))


def started(session_head) -> Session:
    session = Session(session_head)
    session.receive(events.SessionStarted(0))
    return session


def told(session: Session, step, lag_ms: int = 1_500) -> list[tuple]:
    return [
        (action.message["type"], action.message.get("step", action.message.get("reason")), action.message.get("lag_ms"))
        for action in session.receive(events.LoadChanged(10, step, lag_ms))
        if isinstance(action, Send) and action.durable
    ]


def asked(session: Session, seconds: int) -> int:
    """Decodes asked for while speech goes on, each answered at once with nothing."""
    count = 0
    for block in range(seconds * 16_000 // BLOCK):
        at = block * 64
        scores = ((0.95,) * (BLOCK // FRAME),)
        waiting = session.receive(events.AudioReceived(at, (block + 1) * BLOCK, block, scores))
        for action in waiting:
            if isinstance(action, Decode):
                count += 1
                session.receive(events.HypothesisReceived(at, action.request, Hypothesis((), "en"), "0" * 64))
    return count


def test_each_change_is_told_once_with_its_lag():
    """Up tells the step in force, down the lowest that is no longer; the same step again tells nothing."""
    session = started(head())
    assert told(session, "slower_partials") == [("lane.degraded", "slower_partials", 1_500)]
    assert told(session, "slower_partials") == []
    assert told(session, "finals_only", 2_500) == [("lane.degraded", "finals_only", 2_500)]
    assert told(session, "slower_partials", 90) == [("lane.restored", "finals_only", 90)]
    assert told(session, None, 20) == [("lane.restored", "slower_partials", 20)]
    assert told(session, None) == []


def test_partials_come_slower_then_not_at_all():
    """Slowed partials are asked for about a third as often; with finals only none is."""
    counts = []
    for step in (None, "slower_partials", "finals_only"):
        session = started(head())
        told(session, step)
        counts.append(asked(session, 6))
    assert counts[0] > 2 * counts[1] > 0
    assert counts[2] == 0


def test_offload_moves_a_session_that_has_another_route():
    """It goes to its next route, tells so, and there the load of the first is no longer its own."""
    session = started(two_routes())
    assert told(session, "finals_only") == [("lane.degraded", "finals_only", 1_500)]
    assert told(session, "offload") == [
        ("lane.degraded", "offload", 1_500),
        ("route.changed", "overload", None),
        ("lane.restored", "slower_partials", 0),
    ]
    assert told(session, "finals_only") == []
    assert asked(session, 6) > 3


def test_offload_is_finals_only_without_another_route():
    """A session with one route, or whose client allows no other, stays with finals only."""
    assert told(started(head()), "offload") == [("lane.degraded", "finals_only", 1_500)]
    never = dataclasses.replace(two_routes(), fallback="never")
    assert told(started(never), "offload") == [("lane.degraded", "finals_only", 1_500)]
