"""A session on sockets goes on over engines that break, stall or cannot be reached, without losing a word."""

from __future__ import annotations

import pytest
from live_server import START, converse, live_server, script

from speechlane.engine.scripted import ScriptedEngine
from speechlane.engine.scripted_audio import scripted_samples
from speechlane.errors import EngineFailed, OverCapacity
from speechlane.live.config import SessionLimits
from speechlane.runtime.scripted_stream import ScriptedStreamingEngine

pytestmark = pytest.mark.integration

WORDS = script(18)
SECONDS = WORDS[-1].end // 16_000 + 2
FRAMES = [scripted_samples(at, at + 1_600).tobytes() for at in range(0, SECONDS * 16_000, 1_600)]
TEXT = [word.text.strip() for word in WORDS]
BROKEN_AT = WORDS[8].start + 2_000


def words_of(messages: list[dict]) -> list[str]:
    return " ".join(message["text"] for message in messages if message["type"] == "caption.final").split()


def changes_of(messages: list[dict]) -> list[tuple[str, str, str]]:
    changes = [message for message in messages if message["type"] == "route.changed"]
    return [(change["from"]["engine"], change["to"]["engine"], change["reason"]) for change in changes]


def run(engines: list, **fields) -> tuple[list[dict], int]:
    limits = SessionLimits(failover_ms=400)
    with live_server(engines, WORDS, limits=limits) as server:
        return converse(server.url, [START | fields, *FRAMES, {"type": "session.finish"}])


@pytest.mark.parametrize(
    "first",
    [
        ScriptedStreamingEngine(WORDS),
        ScriptedStreamingEngine(WORDS, fails_at=BROKEN_AT),
        ScriptedStreamingEngine(WORDS, silent_from=BROKEN_AT),
        ScriptedStreamingEngine(WORDS, refuses=EngineFailed("unreachable", "No connection.", retryable=False)),
        ScriptedEngine(WORDS, failures=[None, None, EngineFailed("engine_failed", "Broken.", retryable=False)]),
    ],
    ids=["whole", "breaks", "falls silent", "cannot be reached", "windows that break"],
)
@pytest.mark.parametrize("second", ["windows", "stream"])
def test_every_word_comes_once_over_a_failover(first, second):
    """Whatever the first engine does amid a sentence, the finals are the script, and the change is told with why."""
    if second == "windows":
        other = ScriptedEngine(WORDS)
        if isinstance(first, ScriptedEngine):
            pytest.skip("the same engine cannot stand by for itself")
    else:
        other = ScriptedStreamingEngine(WORDS, name="other")
    messages, code = run([first, other])
    assert code == 1000
    assert words_of(messages) == TEXT
    failed = getattr(first, "fails_at", None) or getattr(first, "silent_from", None) or getattr(first, "refuses", None)
    changes = changes_of(messages)
    if failed or isinstance(first, ScriptedEngine):
        (change,) = changes
        assert change[2] in {"engine_failed", "engine_stalled"}
        finished = messages[-1]
        assert finished["engines"][-1] == f"{other.identity.engine}/{other.identity.pin}"
    else:
        assert changes == []


def test_a_pinned_session_gets_an_error_not_another_engine():
    """Reproducibility "pinned": the engine's failure ends the session with 1011."""
    engines = [ScriptedStreamingEngine(WORDS, fails_at=BROKEN_AT), ScriptedEngine(WORDS)]
    messages, code = run(engines, route={"reproducibility": "pinned"})
    assert code == 1011
    assert changes_of(messages) == []
    assert messages[-1]["type"] == "error"
    assert messages[-1]["fault"] == "engine"


@pytest.mark.parametrize(
    "problem", [EngineFailed("engine_failed", "Hiccup."), OverCapacity("engine_queue_full", "No room.")]
)
def test_failures_in_a_row_that_pass_end_nothing(problem):
    """Six decodes in a row fail or are refused, and no other engine stands by: every word comes, no error is told."""
    messages, code = run([ScriptedEngine(WORDS, failures=[None, *[problem] * 6])])
    assert (code, words_of(messages)) == (1000, TEXT)
    assert not [message for message in messages if message["type"] in {"error", "route.changed"}]
