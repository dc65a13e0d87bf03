"""The checker of the live guarantees: each broken promise is found, and a kept one is no finding."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

PATH = Path(__file__).resolve().parents[2] / "benchmarks" / "live" / "guarantees.py"


@pytest.fixture(scope="module")
def guarantees():
    spec = importlib.util.spec_from_file_location("guarantees", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules["guarantees"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["guarantees"]


def partial(stable: str, *, segment: int = 1) -> dict:
    words = [{"text": f" {word}", "stable": True} for word in stable.split()]
    text = "".join(word["text"] for word in words)
    return {"type": "caption.partial", "channel": 0, "segment": segment, "stable_text": text, "words": words}


def final(seq: int, text: str, *, segment: int, start: int, end: int, **record: object) -> dict:
    made = {"index": seq, "previous": "x", "hash": f"h{seq}", "engine": "e", "model": "m"}
    digests = {"audio_sha256": "a", "text_sha256": "t"}
    return {
        "type": "caption.final",
        "seq": seq,
        "channel": 0,
        "segment": segment,
        "start_ms": start,
        "end_ms": end,
        "text": text,
        "provenance": [made | digests | record],
    }


def started() -> dict:
    return {"type": "session.started", "seq": 1}


def found(guarantees, *connections, sent: int = 1_000, silent: bool = False) -> list[str]:
    """What the checker says of these connections: tuples of after_seq, messages, close code."""
    trace = guarantees.Trace("s", sent_bytes=sent, silent=silent)
    for after, messages, code in connections:
        trace.connections.append(guarantees.Connection(after, messages=list(messages), close_code=code))
    return guarantees.check(trace)


def one(guarantees, *messages, code: int | None = 1000, **options) -> list[str]:
    return found(guarantees, (None, messages, code), **options)


GOOD = (
    partial("one"),
    final(2, " one two", segment=1, start=0, end=9),
    final(3, " three", segment=2, start=9, end=12, previous="h2"),
)


def test_a_kept_promise_is_no_finding(guarantees) -> None:
    """A clean session, and one that was resumed and told again what it had asked for, break nothing."""
    assert one(guarantees, started(), *GOOD) == []
    resumed = {"type": "session.resumed", "replay_from_bytes": 500, "last_seq": 2}
    again = found(
        guarantees,
        (None, [started(), *GOOD[:2], {"type": "audio.ack", "received_bytes": 900, "replay_from_bytes": 500}], None),
        (1, [resumed, GOOD[1], GOOD[2]], 1000),
    )
    assert again == []


@pytest.mark.parametrize(
    ("messages", "guarantee"),
    [
        ([partial("one two"), partial("one too")], "1:"),
        ([partial("one two"), partial("one")], "1:"),
        ([partial("one"), final(2, " won", segment=1, start=0, end=9)], "1:"),
        ([final(2, " one", segment=1, start=0, end=9), partial("one")], "2:"),
        ([final(2, " one", segment=2, start=0, end=9)], "2:"),
        ([GOOD[1], final(3, " three", segment=2, start=8, end=12, previous="h2")], "2:"),
        ([GOOD[1], final(3, " more", segment=1, start=9, end=12, previous="h2")], "2:"),
        ([final(3, " one", segment=1, start=0, end=9)], "3:"),
        ([{"type": "audio.ack", "received_bytes": 1_001, "replay_from_bytes": 0}], "3:"),
        ([{"type": "audio.ack", "received_bytes": 9, "replay_from_bytes": n} for n in (8, 7)], "3:"),
        ([{"type": "lane.degraded", "seq": 2, "step": "panic", "lag_ms": 1}], "4:"),
        ([GOOD[1], final(3, " three", segment=2, start=9, end=12, previous="other")], "5:"),
        ([final(2, " one", segment=1, start=0, end=9, model=None)], "5:"),
        ([final(2, " one", segment=1, start=0, end=9) | {"provenance": []}], "5:"),
    ],
)
def test_each_broken_promise_is_found(guarantees, messages, guarantee) -> None:
    """One broken promise gives findings with its guarantee's number."""
    told = one(guarantees, started(), *messages)
    assert told
    assert all(line.startswith(f"s: {guarantee}") for line in told)


def test_what_resuming_may_not_do(guarantees) -> None:
    """Messages left out, changed, or sent without being asked for, and audio asked for that was safe."""
    first = (None, [started(), GOOD[1], {"type": "audio.ack", "received_bytes": 9, "replay_from_bytes": 5}], None)
    resumed = {"type": "session.resumed", "replay_from_bytes": 5, "last_seq": 2}
    assert found(guarantees, first, (1, [resumed, GOOD[2]], 1000))
    assert found(guarantees, first, (1, [resumed, GOOD[1] | {"text": " one too"}], 1000))
    assert found(guarantees, first, (2, [resumed, GOOD[1], GOOD[2]], 1000))
    assert found(guarantees, first, (2, [resumed | {"replay_from_bytes": 4}, GOOD[2]], 1000))


def test_a_close_is_told(guarantees) -> None:
    """A refusal says when to come back, a code is the protocol's, and an error comes before."""
    assert one(guarantees, started(), code=1011) == ["s: closed with 1011 without an error before"]
    assert "which the protocol does not know" in one(guarantees, started(), code=3000)[0]
    assert one(guarantees, {"type": "error", "retry_after_ms": None}, code=4429)
    assert one(guarantees, {"type": "error", "retry_after_ms": 100}, code=4429) == []


def test_silence_that_speaks_is_found(guarantees) -> None:
    """Any caption of audio without speech breaks guarantee 6."""
    assert one(guarantees, started(), *GOOD, silent=True)[0].startswith("s: 6:")
