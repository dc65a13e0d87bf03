"""The contract's guarantees as checks over the messages of one simulated session, and scripts to run them on."""

from __future__ import annotations

import random
from collections import defaultdict
from itertools import pairwise

from hypothesis import strategies as st
from live_simulation import Script, Simulation, Spoken

from speechlane.provenance import GENESIS
from speechlane.provenance.digest import text_sha256


@st.composite
def scripts(draw: st.DrawFn, *, longest: int = 60) -> Script:
    """Words of 0.1 to 0.7 s with pauses of none to 2 s: short replies, monologues without a breath, long silences."""
    count = draw(st.integers(0, longest))
    chance = random.Random(draw(st.integers(0, 2**32)))
    pause = draw(st.sampled_from([0, 400, 4_000, 16_000]))
    at = chance.randrange(0, 30_000)
    words = []
    for number in range(count):
        length = chance.randrange(1_600, 11_200)
        mark = chance.choice(["", "", "", ",", ".", "?"])
        words.append(Spoken(f" w{number}{mark}", at, at + length))
        at += length + (chance.randrange(0, pause) if pause else 0) + (chance.random() < 0.1) * 16_000
    return Script(words, at + chance.randrange(0, 24_000))


def check_guarantees(run: Simulation) -> None:
    """Guarantees 1, 2, 5 and 6 over the messages of one finished session."""
    stable: dict[tuple[int, int], str] = {}
    revisions: dict[tuple[int, int], int] = {}
    finals: dict[int, list[dict]] = defaultdict(list)
    done: set[tuple[int, int]] = set()
    for message in run.messages:
        if message["type"] not in {"caption.partial", "caption.final"}:
            continue
        key = (message["channel"], message["segment"])
        text = "".join(word["text"] for word in message["words"])
        times = [(word["start_ms"], word["end_ms"]) for word in message["words"]]
        assert all(start <= end for start, end in times)
        assert all(before[1] <= after[0] for before, after in pairwise(times))
        assert key not in done, "nothing follows a final"
        if message["type"] == "caption.partial":
            assert text == message["stable_text"] + message["unstable_text"]
            assert text == "" or not text[0].isspace()
            assert message["stable_text"].startswith(stable.get(key, ""))
            assert message["revision"] == revisions.get(key, 0) + 1
            stable[key], revisions[key] = message["stable_text"], message["revision"]
        else:
            assert text == message["text"]
            assert message["text"].startswith(stable.get(key, ""))
            done.add(key)
            finals[message["channel"]].append(message)
    assert set(stable) <= done, "every segment that was shown has its final"
    for settled in finals.values():
        assert [final["segment"] for final in settled] == list(range(1, len(settled) + 1))
        for before, after in pairwise(settled):
            assert before["end_ms"] <= after["start_ms"], [
                {k: v for k, v in f.items() if "_ms" in k or k == "text"} for f in (before, after)
            ]
        for final in settled:
            assert final["start_ms"] <= final["end_ms"]
            assert all(final["start_ms"] <= w["start_ms"] and w["end_ms"] <= final["end_ms"] for w in final["words"])


def check_provenance(run: Simulation) -> None:
    """Each final names one sealed record, recorded before it was sent, chained in order."""
    named = [record for final in run.of("caption.final") for record in final["provenance"]]
    assert named == [record.as_fields() for record in run.records]
    previous = GENESIS
    for final, record in zip(run.of("caption.final"), run.records, strict=True):
        assert record.previous == previous
        assert record.hash == record.expected_hash()
        assert record.text_sha256 == text_sha256(final["text"])
        previous = record.hash


def check_sequence(run: Simulation) -> None:
    """Durable messages count 1, 2, 3 ... without gaps, and the session closes clean behind its last."""
    numbers = [message["seq"] for message in run.messages if "seq" in message]
    assert numbers == list(range(1, len(numbers) + 1))
    assert run.messages[0]["type"] == "session.started"
    assert run.closed == 1000
    assert run.messages[-1]["type"] == "session.finished"
