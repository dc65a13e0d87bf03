"""The live contract's guarantees hold under any revision of any word, any delay and any cut of the audio."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_checks import check_guarantees, check_provenance, check_sequence, scripts
from live_simulation import BLOCK, Script, Simulation, honest, revising

from speechlane.live import events
from speechlane.live.replay import replay

pytestmark = pytest.mark.properties


@settings(max_examples=150, deadline=None)
@given(
    script=scripts(),
    seed=st.integers(0, 2**32),
    rate=st.sampled_from([0.0, 0.3, 1.0]),
    slowest=st.sampled_from([0, 3, 40, 400]),
    late=st.booleans(),
    interim=st.booleans(),
)
def test_guarantees_hold_whatever_the_engine_answers(script, seed, rate, slowest, late, interim):
    """Stable only grows, one final a segment in order, provenance chained, replay exact: under any revisions."""
    chance = random.Random(seed)
    run = Simulation(
        script,
        revising(seed, rate),
        latency=lambda: chance.randrange(slowest + 1),
        late_answers=late,
        config={"interim": interim},
    ).run(flush_at=[chance.randrange(script.duration + 1) for _ in range(chance.randrange(4))])
    check_guarantees(run)
    check_provenance(run)
    check_sequence(run)
    report = replay(run.log)
    assert report.identical, report.difference


@settings(max_examples=100, deadline=None)
@given(script=scripts(), slowest=st.sampled_from([0, 3, 40, 400]), seed=st.integers(0, 2**32))
def test_every_word_appears_once_when_the_engine_hears_well(script, slowest, seed):
    """With an engine that errs only on words cut by the window's edge, the finals are the script, each word once."""
    chance = random.Random(seed)
    run = Simulation(script, honest, latency=lambda: chance.randrange(slowest + 1)).run()
    check_guarantees(run)
    assert run.text.split() == [word.text.strip() for word in script.words]


@settings(max_examples=50, deadline=None)
@given(duration=st.integers(0, 600_000), seed=st.integers(0, 2**32))
def test_silence_stays_silent(duration, seed):
    """Audio without speech asks nothing of the engine and gives no text."""
    run = Simulation(Script([], duration), revising(seed, 1.0)).run()
    assert run.asked == []
    assert run.of("caption.partial") == run.of("caption.final") == []
    check_sequence(run)


@settings(max_examples=50, deadline=None)
@given(script=scripts(longest=30), seed=st.integers(0, 2**32))
def test_failures_end_in_an_end_state(script, seed):
    """Whatever decodes fail, the session ends: finished, or closed 1011 behind an error; guarantees hold until then."""
    chance = random.Random(seed)

    def fail(ask):
        if chance.random() < 0.3:
            return events.DecodeFailed(ask.end // 16, ask.request, "engine_failed", "scripted", chance.random() < 0.8)
        return None

    run = Simulation(script, honest, fail=fail).run()
    assert run.closed in {1000, 1011}
    if run.closed == 1011:
        assert run.messages[-1]["type"] == "error"
        assert run.messages[-1]["fault"] == "engine"
    else:
        check_guarantees(run)
    assert replay(run.log).identical


@settings(max_examples=60, deadline=None)
@given(script=scripts(longest=40), cut=st.integers(0, 10**6))
def test_a_flush_settles_all_that_was_heard(script, cut):
    """`audio.flushed` comes once, and what is settled behind it was not over before it."""
    position = (cut % (script.duration + 1)) // BLOCK * BLOCK
    run = Simulation(script, honest).run(flush_at=[position])
    (flushed,) = run.of("audio.flushed")
    behind = run.messages[run.messages.index(flushed) :]
    flushed_at = int(flushed["id"][1:]) // 16
    for message in behind:
        if message["type"] == "caption.final":
            assert message["end_ms"] > flushed_at
