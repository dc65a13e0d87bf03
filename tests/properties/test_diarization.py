"""Words x turns and RTTM under any input."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechlane.diarization import Turn, assign_speakers, format_rttm, parse_rttm
from speechlane.transcript import Word

pytestmark = pytest.mark.properties

LONGEST_MS = 20_000
LABELS = st.sampled_from(["S1", "S2", "S3", "S4"])


@st.composite
def turn_lists(draw: st.DrawFn) -> list[Turn]:
    """Turns in any order, of one speaker or several, that overlap, touch or repeat each other."""
    spans = st.tuples(st.integers(0, LONGEST_MS), st.integers(1, 8_000), LABELS)
    return [Turn(start * 16, (start + length) * 16, label) for start, length, label in draw(st.lists(spans))]


@st.composite
def word_lists(draw: st.DrawFn) -> list[Word]:
    """Words in order of start, some without length, some stretched over their neighbours."""
    texts = st.sampled_from([" a", " word", " End.", " really?", "字", " antidisestablishmentarianism"])
    times = sorted(draw(st.lists(st.integers(0, LONGEST_MS), max_size=30)))
    return [Word(draw(texts), start, start + draw(st.integers(0, 6_000))) for start in times]


@given(words=word_lists(), turns=turn_lists())
def test_words_stay_as_they_are(words: list[Word], turns: list[Turn]) -> None:
    """Only the speaker of a word is set, and only to somebody who has a turn."""
    assigned = assign_speakers(words, turns)
    assert [word.spoken_by(None) for word in assigned] == words
    assert {word.speaker for word in assigned} <= {turn.speaker for turn in turns} | {None}


@given(words=word_lists(), turns=turn_lists(), data=st.data())
def test_the_order_of_turns_does_not_matter(words: list[Word], turns: list[Turn], data: st.DataObject) -> None:
    """Turns may come in any order."""
    shuffled = data.draw(st.permutations(turns))
    assert assign_speakers(words, shuffled) == assign_speakers(words, turns)


@given(words=word_lists(), turns=turn_lists())
def test_nobody_is_unknown_within_a_second_of_a_turn(words: list[Word], turns: list[Turn]) -> None:
    """A word that begins in a turn, or up to a second from its edge, has a speaker."""
    for word in assign_speakers(words, turns):
        start = word.start_ms * 16
        if any(turn.start - 16_000 <= start < turn.end + 16_000 for turn in turns):
            assert word.speaker is not None


@given(words=word_lists(), turns=turn_lists(), label=LABELS)
def test_a_single_speaker_says_all_that_is_near(words: list[Word], turns: list[Turn], label: str) -> None:
    """With one speaker there is no other answer, so that unknown words lie only before, after or far between."""
    alone = [Turn(turn.start, turn.end, label) for turn in turns]
    told = [word.speaker for word in assign_speakers(words, alone)]
    assert told == sorted(told, key=told.index) or set(told) == {None, label}
    known = [index for index, speaker in enumerate(told) if speaker == label]
    assert known == list(range(known[0], known[-1] + 1)) if known else True


@given(turns=turn_lists())
def test_rttm_brings_back_what_was_written(turns: list[Turn]) -> None:
    """Written and read again, turns on whole milliseconds are the same, in order."""
    found = parse_rttm(format_rttm(turns, recording="call"))
    assert sorted(found.get("call", ()), key=_fields) == sorted(turns, key=_fields)
    assert all(earlier.start <= later.start for earlier, later in pairwise(found.get("call", ())))


@given(turns=turn_lists(), shifts=st.lists(st.integers(0, 15), max_size=100))
def test_rttm_is_within_half_a_millisecond(turns: list[Turn], shifts: Sequence[int]) -> None:
    """Sample positions are written to the nearest millisecond."""
    shifted = sorted(
        (Turn(turn.start + shift, turn.end + shift, turn.speaker) for turn, shift in zip(turns, shifts, strict=False)),
        key=_fields,
    )
    found = sorted(parse_rttm(format_rttm(shifted, recording="call")).get("call", ()), key=_fields)
    assert len(found) == len(shifted)
    assert {turn.speaker for turn in found} == {turn.speaker for turn in shifted}
    for speaker in {turn.speaker for turn in shifted}:
        starts = sorted(turn.start for turn in shifted if turn.speaker == speaker)
        written = sorted(turn.start for turn in found if turn.speaker == speaker)
        assert all(abs(start - other) <= 8 for start, other in zip(starts, written, strict=True))


def _fields(turn: Turn) -> tuple[int, int, str]:
    return turn.start, turn.end, turn.speaker
