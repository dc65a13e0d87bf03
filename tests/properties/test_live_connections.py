"""Connections may break and servers restart at any moment: the core's captions are none the worse for it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_simulation import Script, Simulation, Spoken, honest, revising

from speechlane.live import events
from speechlane.live.replay import replay
from speechlane.live.states import State

pytestmark = pytest.mark.properties


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    """Words of 0.1 to 0.7 s, with pauses of none to 2 s."""
    chance = random.Random(draw(st.integers(0, 2**32)))
    at, words = chance.randrange(30_000), []
    for number in range(draw(st.integers(1, 30))):
        length = chance.randrange(1_600, 11_200)
        words.append(Spoken(f" w{number}", at, at + length))
        at += length + chance.choice([0, 400, 8_000, 32_000])
    return Script(words, at + chance.randrange(24_000))


def speak(run: Simulation, seed: int, breaks: list[str]) -> Simulation:
    """The whole script, with each of these events at some random block."""
    chance = random.Random(seed)
    blocks = run.script.duration // 1_024 + 1
    due = sorted((chance.randrange(blocks), kind) for kind in breaks)
    for block in range(blocks):
        while due and due[0][0] == block:
            happen(run, due.pop(0)[1])
        run.hear_block()
    return run.finish()


def happen(run: Simulation, kind: str) -> None:
    if kind == "lost":
        run._feed(events.ConnectionLost(run.at))
    elif kind == "restart":
        run._waiting.clear()  # what the engine was asked died with the process
        run._feed(events.ServerRestarted(run.at))
    if kind != "lost":
        run._feed(events.ConnectionResumed(run.at, run.session.last_seq, run.position * 2))


def captions(run: Simulation) -> list[dict]:
    return [{k: v for k, v in final.items() if k not in {"seq", "provenance"}} for final in run.of("caption.final")]


def check_messages(run: Simulation) -> None:
    numbers = [message["seq"] for message in run.messages if "seq" in message]
    assert numbers == list(range(1, len(numbers) + 1))
    assert run.closed == 1000
    acks = [m["replay_from_bytes"] for m in run.messages if m["type"] in {"audio.ack", "session.resumed"}]
    assert acks == sorted(acks), "what was said to be safe stays safe"
    report = replay(run.log)
    assert report.identical, report.difference


@settings(max_examples=100, deadline=None)
@given(
    script=scripts(),
    seed=st.integers(0, 2**32),
    slowest=st.sampled_from([0, 3, 40]),
    breaks=st.lists(st.sampled_from(["lost", "resumed"]), min_size=1, max_size=6),
)
def test_lost_and_resumed_connections_change_no_final(script, seed, slowest, breaks):
    """Wherever connections break and come back, the finals are those of the session that was never disturbed."""

    def run(happening: list[str]) -> Simulation:
        chance = random.Random(seed)
        latency = lambda: chance.randrange(slowest + 1)  # noqa: E731  both runs need their own
        return speak(Simulation(script, revising(seed, 0.3), latency=latency), seed, happening)

    disturbed = run(breaks)
    assert captions(disturbed) == captions(run([]))
    check_messages(disturbed)


@settings(max_examples=100, deadline=None)
@given(
    script=scripts(),
    seed=st.integers(0, 2**32),
    slowest=st.sampled_from([0, 3, 40]),
    restarts=st.integers(1, 4),
)
def test_restarts_lose_and_double_no_word(script, seed, slowest, restarts):
    """Whenever the process dies and another takes the log up, every word is in the finals once."""
    chance = random.Random(seed)
    run = speak(Simulation(script, honest, latency=lambda: chance.randrange(slowest + 1)), seed, ["restart"] * restarts)
    assert run.text.split() == [word.text.strip() for word in script.words]
    check_messages(run)


def test_a_new_connection_gets_the_newest_partial_and_nothing_of_settled_segments():
    """On resume: where the stream goes on, the order to send again, then the partial of the segment still open."""
    run = Simulation(Script([Spoken(f" w{n}", 16_000 + n * 4_800, 20_800 + n * 4_800) for n in range(20)], 200_000))
    while not run.of("caption.partial"):
        run.hear_block()
    actions = run.session.receive(events.ConnectionResumed(run.at, 1, 77))
    kinds = [action.message["type"] if hasattr(action, "message") else type(action).__name__ for action in actions]
    assert kinds == ["session.resumed", "Resend", "caption.partial"]
    assert actions[0].message["replay_from_bytes"] >= 77
    assert actions[2].message == run.of("caption.partial")[-1]
    run.finish()
    again = run.session.receive(events.ConnectionResumed(run.at, 1, 77))
    kinds = [action.message["type"] if hasattr(action, "message") else type(action).__name__ for action in again]
    assert kinds == ["session.resumed", "Resend", "Close"]
    assert run.session.state is State.CLOSED
