"""The scripted engine and gate: the mistakes and failures that lanes are tested against."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechlane.audio import Samples
from speechlane.engine import DecodeOptions, DecodeRequest, Hypothesis
from speechlane.engine.scripted import ScriptedEngine, ScriptedGate, ScriptedWord, unstable
from speechlane.engine.scripted_audio import WHOLE_HEADER_SAMPLES, position_of, scripted_samples
from speechlane.errors import EngineFailed

pytestmark = pytest.mark.unit

SCRIPT = tuple(ScriptedWord(f" word{n}", n * 8_000, n * 8_000 + 6_000) for n in range(10))


def audio(start: int, stop: int) -> Samples:
    return np.frombuffer(scripted_samples(start, stop), np.float32)


def request(start: int, stop: int, prefix: tuple[int, ...] = (), **options: object) -> DecodeRequest:
    return DecodeRequest(audio(start, stop), stop - start, "en", prefix, DecodeOptions(**options))


def hear(engine: ScriptedEngine, *requests: DecodeRequest) -> list[Hypothesis]:
    """Answers to requests asked one after the other."""

    async def scenario() -> list[Hypothesis]:
        return [await engine.decode(item) for item in requests]

    return asyncio.run(scenario())


@given(start=st.integers(0, 10**9), length=st.integers(WHOLE_HEADER_SAMPLES, 600))
def test_carrier_tells_its_position(start: int, length: int) -> None:
    """Any stretch that holds a whole header says at which sample of the recording it begins."""
    assert position_of(audio(start, start + length)) == start


@given(start=st.integers(0, 10**9), noise=st.floats(-0.02, 0.02))
def test_carrier_survives_the_wire(start: int, noise: float) -> None:
    """Rounding as coarse as 8-bit companding changes no position."""
    coarse = np.round(audio(start, start + 400) * 64) / 64 + np.float32(noise)
    assert position_of(coarse) == start


def test_no_carrier_has_no_position() -> None:
    """Silence, and a stretch too short for a header, say nothing; the engine then hears nothing."""
    assert position_of(np.zeros(1_000, np.float32)) is None
    assert position_of(audio(20, 100)) is None
    silence = DecodeRequest(np.zeros(1_000, np.float32), 1_000, "en")
    (heard,) = hear(ScriptedEngine(SCRIPT), silence)
    assert heard.words == ()
    assert heard.no_speech_probability == 0.95


def test_words_of_the_window_are_heard_at_their_offsets() -> None:
    """A window hears the words that begin in it, at offsets within it, the last clamped to its end."""
    (heard,) = hear(ScriptedEngine(SCRIPT), request(7_000, 26_000))
    assert heard.text == " word1 word2 word3"
    assert [(word.start, word.end) for word in heard.words] == [(1_000, 7_000), (9_000, 15_000), (17_000, 19_000)]


def test_words_near_the_edge_read_otherwise() -> None:
    """With unstable tails a word is cut short until enough audio lies behind it, then reads right and stays so."""
    engine = ScriptedEngine(unstable(SCRIPT, samples=3_000))
    early, late, later = hear(engine, request(0, 16_500), request(0, 17_000), request(0, 20_000))
    assert early.text == " word0 wor wor"
    assert late.text == " word0 word1 wor"
    assert later.text == " word0 word1 wor"


def test_drafts_take_their_turns() -> None:
    """Each draft is in force while less audio is seen than it says; an empty one is not heard."""
    word = ScriptedWord(" fellow", 1_000, 5_000, drafts=((3_000, ""), (6_000, " fell")))
    engine = ScriptedEngine([word])
    texts = [heard.text for heard in hear(engine, *[request(0, stop) for stop in (3_999, 4_000, 6_999, 7_000)])]
    assert texts == ["", " fell", " fell", " fellow"]


def test_a_prefix_read_as_draft_is_continued() -> None:
    """Words settled in a draft's reading are left out like any other."""
    engine = ScriptedEngine(unstable(SCRIPT, samples=3_000))
    (early,) = hear(engine, request(0, 15_000))
    prefix = tuple(token for word in early.words for token in word.tokens)
    (rest,) = hear(engine, request(0, 30_000, prefix))
    assert [word.tokens for word in rest.words] == [(2,), (3,)]


def test_loop_runs_to_the_bound_unless_guarded() -> None:
    """A looping word repeats to the token bound, repetitive and truncated; the repetition guard hears it once."""
    script = [SCRIPT[0], ScriptedWord(" again", 8_000, 14_000, loops=True), SCRIPT[2]]
    loop, guarded = hear(
        ScriptedEngine(script), request(0, 30_000, max_tokens=9), request(0, 30_000, repetition_guard=True)
    )
    assert loop.text == " word0" + " again" * 8
    assert loop.repetitive
    assert loop.truncated
    assert guarded.text == " word0 again word2"
    assert not guarded.repetitive


def test_failures_come_in_their_order() -> None:
    """The script of failures is followed call by call, then the engine answers."""
    failures = [EngineFailed("engine_failed", "first"), None, EngineFailed("engine_failed", "third", retryable=False)]
    engine = ScriptedEngine(SCRIPT, failures=failures)
    for retryable in (True, None, False, None):
        if retryable is None:
            assert hear(engine, request(0, 20_000))[0].words
        else:
            with pytest.raises(EngineFailed) as failed:
                hear(engine, request(0, 20_000))
            assert failed.value.retryable is retryable


def test_detection_finds_the_first_language() -> None:
    """An engine of several languages detects the first of them, with a probability."""
    (heard,) = hear(
        ScriptedEngine(SCRIPT, languages=("de", "en")), DecodeRequest(audio(0, 20_000), 20_000, language=None)
    )
    assert (heard.language, heard.language_probability) == ("de", 0.98)


def test_engine_that_takes_time_can_be_cancelled() -> None:
    """before_answer sees each request and holds the answer back; cancelling the asker ends the wait."""
    seen: list[DecodeRequest] = []

    async def never(item: DecodeRequest) -> None:
        seen.append(item)
        await asyncio.Event().wait()

    async def scenario() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ScriptedEngine(SCRIPT, before_answer=never).decode(request(0, 20_000)), 0.01)

    asyncio.run(scenario())
    assert len(seen) == 1


def test_gate_scores_the_share_of_speech_in_a_frame() -> None:
    """A frame within a word scores 1, one in a gap 0, one at a border its share, wherever the channel begins."""
    gate = ScriptedGate([ScriptedWord(" a", 1_000, 2_000), ScriptedWord(" b", 2_000, 3_000)])
    assert gate.scorer().score(audio(0, 4_096)) == (0, 24 / 512, 1, 1, 1, 440 / 512, 0, 0)
    assert gate.scorer().score(audio(1_024, 4_096)) == (1, 1, 1, 440 / 512, 0, 0)
    assert gate.scorer().score(np.zeros(1_024, np.float32)) == (0, 0)
