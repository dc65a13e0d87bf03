"""The commit policy: which words of a growing hypothesis are settled."""

from __future__ import annotations

import pytest

from speechlane.engine import HypothesisWord
from speechlane.live.commit import LocalAgreement
from speechlane.live.config import LivePolicy

pytestmark = pytest.mark.unit

SECOND = 16_000
WINDOW = 4 * SECOND


def word(text: str, *, before_end: float, probability: float | None = 0.99) -> HypothesisWord:
    """A word of 0.2 s that ends so many seconds before the window does."""
    end = round(WINDOW - before_end * SECOND)
    return HypothesisWord(text, end - 3_200, end, probability)


def settled(first: list[HypothesisWord], second: list[HypothesisWord]) -> int:
    """How many words stand after these two hypotheses about a window."""
    agreement = LocalAgreement(LivePolicy())
    assert agreement.update(first, WINDOW)[0] == 0, "one hypothesis settles nothing"
    return agreement.update(second, WINDOW)[0]


def test_a_sure_word_stands_close_to_the_edge():
    """Two hypotheses with a probability over `sure_probability` settle a word, the last one too."""
    sure = [word(" one", before_end=0.5), word(" two", before_end=0.15)]
    assert settled(sure, sure) == 2


def test_a_sure_word_cut_by_the_edge_does_not_stand():
    """Within `sure_margin` of the edge a word may be half heard, however sure the model is."""
    cut = [word(" work", before_end=0.02)]
    assert settled(cut, cut) == 0


@pytest.mark.parametrize("probability", [0.3, None])
def test_a_doubtful_word_waits_for_the_edge_margin(probability):
    """Little or no probability: the word must end `edge_margin` before the window does."""
    behind = [word(" b", before_end=0.4), word(" c", before_end=0.2)]
    near = [word(" a", before_end=0.7, probability=probability), *behind]
    far = [word(" a", before_end=0.85, probability=probability), *behind]
    assert settled(near, near) == 0
    assert settled(far, far) == 3


def test_the_lesser_of_two_probabilities_counts():
    """A word that one of the two hypotheses doubts is doubtful."""
    sure, doubtful = word(" a", before_end=0.3), word(" a", before_end=0.3, probability=0.4)
    assert settled([doubtful], [sure]) == 0
    assert settled([sure], [doubtful]) == 0


def test_the_margin_shrinks_as_probability_grows():
    """Half-way between doubtful and sure, half of the margin's range is asked for."""
    behind = [word(" b", before_end=0.1), word(" c", before_end=0.1)]

    def stands(before_end: float) -> bool:
        likely = [word(" a", before_end=before_end, probability=0.725), *behind]
        return settled(likely, likely) > 0

    assert not stands(0.4)
    assert stands(0.5)


def test_a_doubtful_word_wants_words_behind_it():
    """`hold_words` words must stand behind a word that is not sure; a doubtful tail never settles alone."""
    tail = [word(" a", before_end=2.0, probability=0.6)]
    assert settled(tail, tail) == 0


def test_nothing_stands_behind_a_word_that_does_not():
    """Settled words are a prefix: a sure word waits for the doubtful one before it."""
    words = [word(" a", before_end=0.5, probability=0.3), word(" b", before_end=0.3)]
    assert settled(words, words) == 0


def test_case_and_punctuation_may_waver():
    """Agreement is on words: "So," and "so" agree, "saw" does not."""
    assert settled([word(" So,", before_end=1)], [word(" so", before_end=1)]) == 1
    assert settled([word(" saw", before_end=1)], [word(" so", before_end=1)]) == 0
