"""The speech gate's seam: one class, passed by Silero and by the scripted gate."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlane.audio import SAMPLE_RATE, Samples
from speechlane.engine import SpeechGateModel
from speechlane.engine.scripted import ScriptedGate, ScriptedWord
from speechlane.engine.scripted_audio import scripted_samples
from speechlane.local.silero import SileroGate

pytestmark = pytest.mark.conformance


@dataclass(frozen=True)
class Case:
    """A gate, and at least two seconds of audio of which most is speech."""

    gate: SpeechGateModel
    speech: Samples

    def scores(self, *pieces: Samples) -> tuple[float, ...]:
        """What a fresh scorer says of audio that arrives in these pieces."""
        scorer = self.gate.scorer()
        return tuple(score for piece in pieces for score in scorer.score(piece))


class SpeechGateConformance:
    """Every speech gate passes this; a subclass brings the ``case`` fixture."""

    def test_one_score_a_whole_frame(self, case: Case) -> None:
        """There is a score for each whole frame of frame_samples, and each is a probability."""
        frame = case.gate.frame_samples
        for count in (0, frame - 1, frame, 3 * frame + 7, len(case.speech)):
            scores = case.scores(case.speech[:count])
            assert len(scores) == count // frame
            assert all(0 <= score <= 1 for score in scores)

    def test_cutting_changes_nothing(self, case: Case) -> None:
        """However audio is cut into pieces, empty ones among them, the scores are the same bit for bit."""
        speech = case.speech[: 2 * SAMPLE_RATE]
        uncut = case.scores(speech)

        @settings(max_examples=15, deadline=None)
        @given(cuts=st.lists(st.integers(0, len(speech)), max_size=12))
        def holds(cuts: list[int]) -> None:
            assert case.scores(*np.split(speech, sorted(cuts))) == uncut

        holds()

    def test_channels_do_not_touch(self, case: Case) -> None:
        """Scorers of one model that take turns each say what they say alone."""
        speech, backwards = case.speech, case.speech[::-1]
        first, second = case.gate.scorer(), case.gate.scorer()
        turns = [
            (first.score(speech[at : at + 700]), second.score(backwards[at : at + 700]))
            for at in range(0, len(speech), 700)
        ]
        assert tuple(score for mine, _ in turns for score in mine) == case.scores(speech)
        assert tuple(score for _, mine in turns for score in mine) == case.scores(backwards)

    def test_speech_and_silence_are_told_apart(self, case: Case) -> None:
        """Most frames of speech score over one half; silence stays far below."""
        scores = case.scores(case.speech)
        assert sum(score > 0.5 for score in scores) > len(scores) / 2
        assert max(case.scores(np.zeros(SAMPLE_RATE, np.float32))) < 0.3

    def test_version_is_told(self, case: Case) -> None:
        """Provenance can name the gate."""
        assert case.gate.version


class TestScriptedGate(SpeechGateConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls) -> Case:
        """Words of 300 ms with gaps of 100 ms."""
        script = [ScriptedWord(f" word{n}", n * 6_400, n * 6_400 + 4_800) for n in range(20)]
        return Case(ScriptedGate(script), np.frombuffer(scripted_samples(5_000, 60_000), np.float32))


class TestSilero(SpeechGateConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, repository: Path) -> Case:
        """The last three seconds of the JFK clip."""
        with wave.open(str(repository / "src/speechlane/samples/jfk.wav")) as clip:
            samples = np.frombuffer(clip.readframes(clip.getnframes()), "<i2").astype(np.float32) / 32768
        return Case(SileroGate(), samples[8 * SAMPLE_RATE :])
