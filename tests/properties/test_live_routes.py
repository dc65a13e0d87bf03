"""Failover loses no word and repeats none, whatever kind of engine fails or stalls, and whenever it does."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_checks import check_guarantees, check_provenance, check_sequence, scripts
from route_simulation import Plan, RouteSimulation

from speechlane.live.replay import replay

pytestmark = pytest.mark.properties

SPELLINGS = {
    "same": lambda text: text,
    "other case and marks": lambda text: text.upper().rstrip(".,?") + "!",
    "other words": lambda text: text.replace("w", "v"),
}


@st.composite
def plans(draw: st.DrawFn, script) -> list[Plan]:
    """One to four routes, windows or streams; each but the last fails or falls silent somewhere."""
    count = draw(st.integers(1, 4))
    chance = random.Random(draw(st.integers(0, 2**32)))
    # The text joins two engines that spell alike, however they time words; else their times must.
    alike = draw(st.booleans())
    routes = []
    moments = sorted(chance.randrange(0, script.duration + 16_000) for _ in range(count - 1))
    for number in range(count):
        spelling = draw(st.sampled_from(["same", "other case and marks"] if alike else sorted(SPELLINGS)))
        at = moments[number] if number < count - 1 else None
        fails = chance.random() < 0.6
        shift = chance.randrange(-2_000, 2_000) if alike else 0
        routes.append(
            Plan(
                streaming=draw(st.booleans()),
                spell=SPELLINGS[spelling],
                fails_at=at if fails else None,
                silent_at=None if fails else at,
                retryable=chance.random() < 0.3,
                shift=shift,
            )
        )
    return routes


def numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


@settings(max_examples=120, deadline=None)
@given(data=st.data(), script=scripts(longest=40), seed=st.integers(0, 2**32))
def test_every_word_appears_once_over_any_failover(data, script, seed):
    """Engines that hear well, however they spell, fail or stall: the finals hold each word once, in order."""
    run = RouteSimulation(script, data.draw(plans(script)), seed=seed).run()
    assert run.closed == 1000
    check_guarantees(run)
    check_sequence(run)
    assert numbers(run.text) == list(range(len(script.words)))
    report = replay(run.log)
    assert report.identical, report.difference


@settings(max_examples=80, deadline=None)
@given(data=st.data(), script=scripts(longest=40), seed=st.integers(0, 2**32), rate=st.sampled_from([0.3, 1.0]))
def test_guarantees_hold_over_any_failover_and_revision(data, script, seed, rate):
    """Whatever interim results were revised to: settled text stands, one final a segment, its records true."""
    run = RouteSimulation(script, data.draw(plans(script)), seed=seed, revise=rate).run()
    check_guarantees(run)
    check_provenance(run)
    check_sequence(run)
    changes = run.of("route.changed")
    assert [change["to"]["engine"] for change in changes] == [f"engine{n + 1}" for n in range(len(changes))]
    changed = {change["seq"]: change for change in changes}
    current = "engine0"
    for message in run.messages:
        if message.get("seq") in changed:
            current = message["to"]["engine"]
        for record in message.get("provenance", []):
            assert record["engine"] == current, "each final names the route in force"


@settings(max_examples=40, deadline=None)
@given(script=scripts(longest=30), streaming=st.booleans(), seed=st.integers(0, 2**32))
def test_a_session_that_may_not_change_ends_with_its_engine(script, streaming, seed):
    """Fallback "never": the failure is told and the session closes 1011; no other engine is heard."""
    plan = Plan(streaming=streaming, fails_at=script.duration // 2)
    run = RouteSimulation(script, [plan, Plan(streaming=False)], seed=seed, fallback="never").run()
    assert run.of("route.changed") == []
    if run.closed == 1011:
        assert run.messages[-1]["type"] == "error"
        assert run.messages[-1]["fault"] == "engine"
    else:
        assert run.closed == 1000
