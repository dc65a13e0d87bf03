"""How long a session bears with an engine that fails or refuses, and what it does meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from live_simulation import Script, Simulation, Spoken
from route_simulation import Plan, RouteSimulation

from speechlane.engine import Priority
from speechlane.live import events
from speechlane.live.actions import Decode, Send

pytestmark = pytest.mark.unit

SCRIPT = Script([Spoken(f" w{n}", 16_000 + n * 4_800, 16_000 + (n + 1) * 4_800) for n in range(40)], 260_000)
TEXT = " ".join(word.text.strip() for word in SCRIPT.words)


def speak(fails: Callable[[int, Decode], bool], *, code: str = "engine_failed", config: dict | None = None):
    """The script on an engine that fails the decodes that ``fails(at, ask)`` says; the run, and when it failed what."""
    failed: list[tuple[int, Decode]] = []

    def fail(ask: Decode) -> events.DecodeFailed | None:
        if not fails(run.at, ask):
            return None
        failed.append((run.at, ask))
        return events.DecodeFailed(run.at, ask.request, code, "no luck", retryable=True)

    run = Simulation(SCRIPT, fail=fail, config=config or {})
    return run.run(), failed


def test_refused_partials_cost_partials_alone():
    """An engine without room for any partial, from the first to the last word: the finals hold every word."""
    run, failed = speak(lambda at, ask: ask.priority is not Priority.FINAL, code="engine_queue_full")
    assert len(failed) > 10
    assert (run.closed, run.text, run.of("error")) == (1000, TEXT, [])


@pytest.mark.parametrize("interim", [True, False])
def test_a_hiccup_of_two_seconds_ends_no_session(interim):
    """All decodes of two seconds fail, amid speech: no word is lost, and the next step after a partial asks again."""
    run, failed = speak(lambda at, ask: 6_500 <= at < 8_500, config={"interim": interim})
    assert len(failed) >= (4 if interim else 1)
    assert (run.closed, run.text) == (1000, TEXT)
    if interim:
        assert all(later[1].end > sooner[1].end for sooner, later in pairwise(failed))


def test_a_final_is_tried_again_with_growing_pauses_until_patience_ends():
    """From its first failure on, for the engine's time: pauses from 0.25 s double to 2 s; then 1011, nothing lost."""
    run, failed = speak(lambda at, ask: ask.priority is Priority.FINAL, config={"interim": False})
    finals = [at for at, _ in failed]
    pauses = [later - sooner for sooner, later in pairwise(finals)]
    assert all(
        wished <= pause < wished + 128 for pause, wished in zip(pauses, [250, 500, 1000, 2000, 2000], strict=False)
    )
    assert max(pauses) < 2_128
    assert 60_000 <= finals[-1] - finals[0] < 60_128
    assert run.closed == 1011
    assert (run.messages[-1]["code"], run.messages[-1]["fault"]) == ("engine_failed", "engine")
    assert "no luck" in run.messages[-1]["message"]
    again = run.session.receive(events.ConnectionResumed(run.at, 1, 0))
    told = [action.message for action in again if isinstance(action, Send) and action.message["type"] == "error"]
    assert [message["retryable"] for message in (run.messages[-1], *told)] == [False, False], (
        "taken up again it is over"
    )


def test_an_answer_restores_all_patience():
    """Two finals that fail for 40 s each, with an answer between them, end no session."""
    first_failed: dict[int, int] = {}

    def fail(ask: Decode) -> events.DecodeFailed | None:
        if run.at >= first_failed.setdefault(ask.start, run.at) + 40_000:
            return None
        return events.DecodeFailed(run.at, ask.request, "engine_failed", "no luck", retryable=True)

    words = [Spoken(" one", 16_000, 24_000), Spoken(" two", 64_000, 72_000)]
    run = Simulation(Script(words, 100_000), fail=fail, config={"interim": False})
    run.run()
    assert len(first_failed) == 2
    assert (run.closed, run.text) == (1000, "one two")


def test_an_engine_that_only_refuses_is_told_as_full():
    """Finals refused for all the time end the session too, and the error says that there was no room."""
    run, _ = speak(lambda at, ask: True, code="engine_queue_full")
    assert (run.closed, run.messages[-1]["code"]) == (1011, "engine_queue_full")


def test_a_failure_that_does_not_pass_is_not_waited_out():
    """A decode that the engine says can never succeed ends its route at once."""
    run = Simulation(
        SCRIPT, fail=lambda ask: events.DecodeFailed(0, ask.request, "engine_closed", "gone", retryable=False)
    ).run()
    assert run.closed == 1011
    assert len(run.asked) == 1


def test_another_route_takes_over_after_its_patience():
    """An engine that only fails, partials too, hands over after `failover_ms`, not after the engine's whole time."""
    run = RouteSimulation(SCRIPT, [Plan(streaming=False, fails_at=48_000, retryable=True), Plan(streaming=False)])
    first = None
    while not run.of("route.changed"):
        run.hear_block()
        if first is None and run.position >= 48_000:
            first = run.at
    assert 5_000 <= run.at - first < 6_000
    while run.position < SCRIPT.duration:
        run.hear_block()
    run.finish()
    assert (run.closed, run.text) == (1000, TEXT)


def test_a_client_is_not_idle_while_a_try_waits():
    """Between two tries the session waits for the engine, not for the client: no idle limit, no stall."""
    run = Simulation(
        SCRIPT, fail=lambda ask: events.DecodeFailed(0, ask.request, "engine_failed", "no luck", retryable=True)
    )
    while run.position < 160_000:
        run.hear_block()
    run._feed(events.FlushRequested(run.at, "f"))
    run._answer_due(everything=True)
    assert run.session.next_deadline() == run.at + 250
