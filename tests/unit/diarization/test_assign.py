"""Words x turns -> speakers: drift, overlap, gaps and stretched words."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from speechlane.diarization import Turn, assign_speakers
from speechlane.transcript import Word

pytestmark = pytest.mark.unit


def turn(start_ms: int, end_ms: int, speaker: str) -> Turn:
    return Turn(start_ms * 16, end_ms * 16, speaker)


def speakers(words: Sequence[Word], turns: Sequence[Turn]) -> list[str | None]:
    return [word.speaker for word in assign_speakers(words, turns)]


def row(*times: tuple[int, int], text: str = " word") -> list[Word]:
    return [Word(text, start, end) for start, end in times]


def test_each_word_goes_to_the_turn_it_lies_in() -> None:
    """Words within one turn are that speaker's; nothing else of the word changes."""
    words = [Word(" Hello", 100, 400, 0.9), Word(" there.", 400, 800, None), Word(" Hi!", 1200, 1500, 0.5)]
    assigned = assign_speakers(words, [turn(0, 900, "S1"), turn(1100, 1600, "S2")])
    assert [word.speaker for word in assigned] == ["S1", "S1", "S2"]
    assert [word.spoken_by(None) for word in assigned] == words


def test_without_turns_nobody_is_known() -> None:
    """No turns, no speakers; no words, no answer."""
    assert speakers(row((0, 300), (300, 600)), []) == [None, None]
    assert assign_speakers([], [turn(0, 900, "S1")]) == ()


def test_the_middle_of_a_word_counts_most() -> None:
    """A word that drifted across the edge of a turn stays with the turn in which its middle lies."""
    turns = [turn(0, 1000, "S1"), turn(1000, 2000, "S2")]
    assert speakers(row((300, 600), (600, 880), (880, 1160), (1160, 1600)), turns) == ["S1", "S1", "S2", "S2"]
    assert speakers(row((300, 600), (600, 840), (840, 1120), (1120, 1600)), turns) == ["S1", "S1", "S1", "S2"]


def test_a_change_waits_for_the_end_of_the_sentence() -> None:
    """Where the turns leave it open whose a word is, the speaker changes after a sentence, not before its last word."""
    words = [Word(" you", 0, 300), Word(" see", 300, 600), Word(" it.", 850, 1150), Word(" Yes", 1150, 1500)]
    turns = [turn(0, 1000, "S1"), turn(1000, 1500, "S2")]
    assert speakers(words, turns) == ["S1", "S1", "S1", "S2"]


def test_a_change_waits_for_the_pause() -> None:
    """The same with a pause of 0.3 s instead of a mark: the open word stays on its side of the pause."""
    open_word = (1000 - 150, 1000 + 150)
    before = row((0, 300), (300, 850), open_word, (1450, 1700))
    after = row((0, 300), (300, 550), open_word, (1150, 1400))
    turns = [turn(0, 1000, "S1"), turn(1000, 1700, "S2")]
    assert speakers(before, turns) == ["S1", "S1", "S1", "S2"]
    assert speakers(after, turns) == ["S1", "S1", "S2", "S2"]


def test_where_turns_overlap_who_begins_takes_the_words() -> None:
    """While one turn runs into the next, both have the same claim; the words go to the one who goes on."""
    turns = [turn(0, 2000, "S1"), turn(1200, 3000, "S2")]
    words = row((200, 600), (700, 1100), (1300, 1500), (1600, 1900), (2100, 2500))
    assert speakers(words, turns) == ["S1", "S1", "S2", "S2", "S2"]


def test_a_short_answer_inside_a_turn_does_not_take_its_words() -> None:
    """Somebody says "mhm" while another goes on: the words written there are the other's."""
    turns = [turn(0, 4000, "S1"), turn(1500, 1800, "S2")]
    assert set(speakers(row((1000, 1400), (1500, 1800), (1900, 2300)), turns)) == {"S1"}


def test_a_word_stretched_over_silence_stays_where_it_began() -> None:
    """A short word whose end was stretched into the next turn belongs to the turn in which it began."""
    turns = [turn(0, 600, "S1"), turn(1500, 5000, "S2")]
    assert speakers([Word(" no", 200, 4200), Word(" way", 4300, 4600)], turns) == ["S1", "S2"]


@pytest.mark.parametrize(("start", "expected"), [(1200, "S1"), (1900, "S1"), (4000, None), (6100, "S2"), (6600, "S2")])
def test_a_word_outside_all_turns_goes_to_the_nearest_edge(start: int, expected: str | None) -> None:
    """Within 1 s of a turn's edge the nearest turn takes the word, however short that turn is; beyond, nobody."""
    turns = [turn(0, 1000, "S1"), turn(7000, 7100, "S2")]
    assert speakers(row((start, start + 100)), turns) == [expected]


def test_the_edge_counts_and_not_the_middle_of_the_turn() -> None:
    """A long turn that ends close by wins over a short one whose middle is closer."""
    assert speakers(row((10_200, 10_300)), [turn(0, 10_000, "S1"), turn(10_600, 10_700, "S2")]) == ["S1"]


def test_a_word_that_nothing_tells_of_follows_its_neighbours() -> None:
    """Far from all turns, a word takes the speaker on whom both sides agree, and nobody where they do not."""
    far = [(0, 300), (5000, 5300), (5400, 5700), (10_000, 10_300)]
    same = [turn(0, 400, "S1"), turn(9900, 10_400, "S1")]
    other = [turn(0, 400, "S1"), turn(9900, 10_400, "S2")]
    assert speakers(row(*far), same) == ["S1"] * 4
    assert speakers(row(*far), other) == ["S1", None, None, "S2"]
    assert speakers(row(*far[1:]), same) == [None, None, "S1"]


def test_words_without_length_are_taken() -> None:
    """A word whose start is its end still lies in a turn."""
    assert speakers(row((500, 500)), [turn(0, 1000, "S1")]) == ["S1"]


def test_labels_before_are_replaced() -> None:
    """A word's earlier speaker counts for nothing."""
    assert speakers([Word(" yes", 0, 300, None, "S9")], [turn(0, 300, "S1")]) == ["S1"]
    assert speakers([Word(" yes", 0, 300, None, "S9")], []) == [None]
