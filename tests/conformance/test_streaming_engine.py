"""The streaming seam: one class, passed by the scripted streaming engine and by every vendor to come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

from speechlane.audio import SAMPLE_RATE, Samples
from speechlane.engine import EngineStream, StreamingEngine, StreamOptions, StreamResult
from speechlane.engine.scripted import ScriptedWord, unstable
from speechlane.engine.scripted_audio import scripted_samples
from speechlane.errors import EngineFailed, InvalidInput
from speechlane.runtime.scripted_stream import ScriptedStreamingEngine

pytestmark = pytest.mark.conformance

FRAME = SAMPLE_RATE // 10


@dataclass(frozen=True)
class Case:
    """What an implementation brings: how to open it, a recording with pauses and its text, its language."""

    open: Callable[[], StreamingEngine]
    recording: Samples
    text: str
    language: str


async def listen(stream: EngineStream, recording: Samples) -> list[StreamResult]:
    """Send all of it frame by frame, flush, and read until the flush is answered."""
    results: list[StreamResult] = []

    async def read() -> None:
        async for result in stream.results():
            results.append(result)
            if result.final and result.end >= len(recording):
                return

    reader = asyncio.create_task(read())
    for start in range(0, len(recording), FRAME):
        await stream.send(recording[start : start + FRAME])
        await asyncio.sleep(0)
    await stream.flush()
    async with asyncio.timeout(30):
        await reader
    return results


def heard(case: Case) -> list[StreamResult]:
    """All results about the recording, from a fresh engine."""

    async def scenario() -> list[StreamResult]:
        engine = case.open()
        stream = await engine.open(StreamOptions(case.language))
        try:
            return await listen(stream, case.recording)
        finally:
            await stream.aclose()
            await engine.aclose()

    return asyncio.run(scenario())


class StreamingEngineConformance:
    """Every streaming engine passes this; a subclass brings the ``case`` fixture."""

    def test_capabilities_say_that_it_streams(self, case: Case) -> None:
        """Router and core tell streams from windows by the capabilities."""
        assert case.open().capabilities.streaming

    def test_finals_cover_the_stream_without_gap(self, case: Case) -> None:
        """Final results follow each other from the first sample to the flush; their text is what was said, once."""
        finals = [result for result in heard(case) if result.final]
        assert finals[0].start == 0
        assert finals[-1].end >= len(case.recording)
        assert all(before.end == after.start for before, after in pairwise(finals))
        assert "".join(word.text for result in finals for word in result.words).split() == case.text.split()

    def test_interim_results_come_before_finals(self, case: Case) -> None:
        """Words are told before they are settled; an interim result begins where the last final one ended."""
        settled, interims = 0, 0
        for result in heard(case):
            assert result.start == settled
            if result.final:
                settled = result.end
            else:
                interims += 1
        assert interims > 1

    def test_words_are_in_order_within_their_result(self, case: Case) -> None:
        """Times count from the stream's first sample; words do not overlap."""
        for result in heard(case):
            at = result.start
            for word in result.words:
                assert at <= word.start <= word.end <= result.end
                at = word.end

    def test_streams_do_not_mix(self, case: Case) -> None:
        """Two streams of one engine hear their own sound alone."""

        async def scenario() -> list[list[StreamResult]]:
            engine = case.open()
            streams = [await engine.open(StreamOptions(case.language)) for _ in range(2)]
            try:
                return list(
                    await asyncio.gather(
                        listen(streams[0], case.recording), listen(streams[1], case.recording[:SAMPLE_RATE])
                    )
                )
            finally:
                for stream in streams:
                    await stream.aclose()
                await engine.aclose()

        whole, part = asyncio.run(scenario())
        count = [sum(len(result.words) for result in results if result.final) for results in (whole, part)]
        assert count[0] == len(case.text.split())
        assert count[1] < count[0]

    def test_a_closed_stream_refuses_and_ends(self, case: Case) -> None:
        """After aclose, which may be called twice, nothing is taken and the results end."""

        async def scenario() -> None:
            engine = case.open()
            stream = await engine.open(StreamOptions(case.language))
            await stream.aclose()
            await stream.aclose()
            with pytest.raises(EngineFailed):
                await stream.send(case.recording[:FRAME])
            assert [result async for result in stream.results()] == []
            await engine.aclose()

        asyncio.run(scenario())

    def test_an_unknown_language_is_refused(self, case: Case) -> None:
        """A language outside the capabilities is the client's fault, with its field."""
        with pytest.raises(InvalidInput) as refused:
            asyncio.run(case.open().open(StreamOptions("xx")))
        assert refused.value.field == "language"


class TestScriptedStreamingEngine(StreamingEngineConformance):
    @pytest.fixture
    def case(self) -> Case:
        """Three utterances of five words, half a second and more apart; each word wavers at first."""
        words, at = [], 4_000
        for number in range(15):
            words.append(ScriptedWord(f" word{number}", at, at + 4_000))
            at += 16_000 if number % 5 == 4 else 4_800
        recording = np.frombuffer(scripted_samples(0, at + SAMPLE_RATE), np.float32)
        script = unstable(words, samples=2_000)
        text = "".join(word.text for word in words)
        return Case(lambda: ScriptedStreamingEngine(script), recording, text, "en")
