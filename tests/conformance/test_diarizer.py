"""The diarizer's seam: one class, passed by the local diarizer and by the scripted one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechlane.audio import SAMPLE_RATE, Samples
from speechlane.diarization import SpeakerBounds, Turn
from speechlane.engine import Diarizer
from speechlane.engine.scripted_diarizer import ScriptedDiarizer
from speechlane.errors import InvalidInput
from speechlane.local.diarizer import LocalDiarizer

pytestmark = pytest.mark.conformance

UNKNOWN = SpeakerBounds()


@dataclass(frozen=True)
class Case:
    """A diarizer, and a recording in which at least two people speak, whom it tells apart."""

    diarizer: Diarizer
    conversation: Samples

    def turns(self, samples: Samples | None = None, bounds: SpeakerBounds = UNKNOWN) -> Sequence[Turn]:
        return asyncio.run(self.diarizer.diarize(self.conversation if samples is None else samples, bounds))


def speakers(turns: Sequence[Turn]) -> list[str]:
    """Labels in order of first appearance."""
    return list(dict.fromkeys(turn.speaker for turn in turns))


class DiarizerConformance:
    """Every diarizer passes this; a subclass brings the ``case`` fixture."""

    def test_turns_are_ordered_and_inside(self, case: Case) -> None:
        """Turns are ordered by start, each has a length, none leaves the recording."""
        turns = case.turns()
        assert [turn.start for turn in turns] == sorted(turn.start for turn in turns)
        assert all(0 <= turn.start < turn.end <= len(case.conversation) for turn in turns)

    def test_speakers_are_named_in_order_of_first_speech(self, case: Case) -> None:
        """Labels are S1, S2 ... as they are first heard."""
        found = speakers(case.turns())
        assert len(found) >= 2
        assert found == [f"S{number}" for number in range(1, len(found) + 1)]

    def test_a_speaker_has_one_turn_at_a_time(self, case: Case) -> None:
        """Turns of one speaker neither overlap nor touch: that would be one turn."""
        turns = case.turns()
        for name in speakers(turns):
            own = [turn for turn in turns if turn.speaker == name]
            assert all(earlier.end < later.start for earlier, later in pairwise(own))

    def test_the_same_recording_gives_the_same_turns(self, case: Case) -> None:
        """A diarizer has no memory of recordings and no chance in it."""
        first = case.turns()
        case.turns(case.conversation[: 3 * SAMPLE_RATE])
        assert list(case.turns()) == list(first)

    def test_recordings_at_the_same_time_do_not_touch(self, case: Case) -> None:
        """Jobs that share a diarizer each get what they get alone."""
        short = case.conversation[: 9 * SAMPLE_RATE]

        async def both() -> list[Sequence[Turn]]:
            return await asyncio.gather(
                case.diarizer.diarize(case.conversation, UNKNOWN), case.diarizer.diarize(short, UNKNOWN)
            )

        together = asyncio.run(both())
        assert [list(turns) for turns in together] == [list(case.turns()), list(case.turns(short))]

    @pytest.mark.parametrize("bounds", [SpeakerBounds(speakers=1), SpeakerBounds(maximum=1)])
    def test_bounds_from_above_are_kept(self, case: Case, bounds: SpeakerBounds) -> None:
        """Who asks for at most one speaker gets one, and still all of the speech."""
        alone = case.turns(bounds=bounds)
        assert speakers(alone) == ["S1"]
        assert min(turn.start for turn in alone) == min(turn.start for turn in case.turns())

    @pytest.mark.parametrize("bounds", [SpeakerBounds(speakers=2), SpeakerBounds(minimum=2, maximum=2)])
    def test_the_right_number_is_taken(self, case: Case, bounds: SpeakerBounds) -> None:
        """Who asks for the two speakers that are there gets both."""
        assert speakers(case.turns(bounds=bounds)) == ["S1", "S2"]

    @pytest.mark.parametrize("count", [0, 1, SAMPLE_RATE // 10, 40 * SAMPLE_RATE])
    def test_silence_gives_no_turns(self, case: Case, count: int) -> None:
        """Nobody speaks in silence of any length, whatever number of speakers was asked for."""
        silence = np.zeros(count, dtype=np.float32)
        assert list(case.turns(silence)) == []
        assert list(case.turns(silence, SpeakerBounds(speakers=2))) == []

    @pytest.mark.parametrize("count", [1, 160, SAMPLE_RATE // 10, SAMPLE_RATE])
    def test_short_recordings_are_taken(self, case: Case, count: int) -> None:
        """A recording of a sample, a hundredth, a tenth of a second or one second is diarized, not refused."""
        middle = len(case.conversation) // 2
        assert all(turn.end <= count for turn in case.turns(case.conversation[middle : middle + count]))

    def test_channels_are_not_mixed_in_secret(self, case: Case) -> None:
        """Samples that are not one row are refused, with the field's name."""
        with pytest.raises(InvalidInput, match="mono") as refused:
            case.turns(np.zeros((2, SAMPLE_RATE), dtype=np.float32))
        assert (refused.value.code, refused.value.field) == ("invalid_recording", "samples")

    def test_identity_is_told(self, case: Case) -> None:
        """A manifest can name the diarizer, its version and the digest of each model; asking twice changes nothing."""
        identity = case.diarizer.identity
        assert identity.diarizer
        assert identity.diarizer_version
        assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for _, digest in identity.models)
        assert case.diarizer.identity == identity


class TestScriptedDiarizer(DiarizerConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls) -> Case:
        """A script with overlapping, touching and swallowed turns, in no order, that runs over the recording's end."""
        script = [
            Turn(40_000, 60_000, "bob"),
            Turn(500, 30_000, "ann"),
            Turn(20_000, 45_000, "bob"),
            Turn(30_000, 33_000, "ann"),
            Turn(70_000, 10**9, "ann"),
        ]
        return Case(ScriptedDiarizer(script), np.full(20 * SAMPLE_RATE, 0.1, dtype=np.float32))


class TestLocalDiarizer(DiarizerConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, repository: Path) -> Case:
        """The first half of the bundled conversation, from its first word on."""
        samples, _ = soundfile.read(repository / "src/speechlane/samples/two_speakers.wav", dtype="float32")
        return Case(LocalDiarizer(), samples[6 * SAMPLE_RATE : 19 * SAMPLE_RATE])
