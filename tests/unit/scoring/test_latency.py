"""Lag, stability and losses of live captions."""

from __future__ import annotations

import pytest

from speechlane.scoring.latency import (
    LagFigures,
    Losses,
    ReferenceWord,
    View,
    first_shown_lags,
    fold,
    lag_figures,
    losses,
    matched,
    revised_words,
    settled_lags,
    taken_back,
)

pytestmark = pytest.mark.unit


def words(text: str) -> list[str]:
    return text.split()


REFERENCE = [ReferenceWord(text, second, second + 0.5) for second, text in enumerate(words("the cat saw the dog"))]


def view(at: float, settled: str, unsettled: str = "") -> View:
    return View(at, tuple(settled.split()), tuple(unsettled.split()))


def test_a_lag_runs_from_the_words_end_to_the_view_that_first_shows_it() -> None:
    """Open words count as shown; a word counts once, at its first view, even if it vanishes in between."""
    views = [view(1, "", "The"), view(2, "the", "cat"), view(3, "the"), view(5.5, "The cat saw the dog.")]
    assert first_shown_lags(REFERENCE, views) == [0.5, 0.5, 3.0, 2.0, 1.0]


def test_a_word_is_not_shown_before_it_is_begun() -> None:
    """Of two words that are spelled alike the one that was spoken by then is meant, and the earlier one first."""
    assert first_shown_lags(REFERENCE, [view(0.9, "", "the"), view(9, "the")]) == [0.9 - 0.5]
    assert matched(["a", "b", "the", "c", "the"], ["a", "b", "the"]) == [(0, 0), (1, 1), (2, 2)]


def test_settled_is_the_view_since_which_it_stayed() -> None:
    """Open words settle nothing, and a settled word that was rewritten counts from its rewriting."""
    views = [view(1, "", "the"), view(2, "the cut"), view(4, "the cat saw", "the"), view(6, "the cat saw the dog")]
    assert settled_lags(REFERENCE, views) == [1.5, 2.5, 1.5, 2.5, 1.5]


def test_words_that_are_missing_or_invented_have_no_lag() -> None:
    """Only words that match the reference are timed."""
    assert settled_lags(REFERENCE, [view(6, "the bird saw a the dog")]) == [5.5, 3.5, 2.5, 1.5]
    assert settled_lags(REFERENCE, []) == []
    assert settled_lags([], [view(1, "you")]) == []


def test_revised_words_are_those_that_left_their_place() -> None:
    """A change of writing, a shift and a withdrawal each count by word; words that are added do not."""
    assert revised_words([view(1, "a", "b c"), view(2, "a b", "C d")]) == 1
    assert revised_words([view(1, "", "a b c"), view(2, "", "b c")]) == 3
    assert revised_words([view(1, "", "a b"), view(2, ""), view(3, "a b")]) == 2
    assert revised_words([view(1, "", "a"), view(2, "a", "b"), view(3, "a b")]) == 0


def test_settled_words_that_change_are_told() -> None:
    """Open words may change; settled ones may not, and each that does is counted."""
    assert taken_back([view(1, "a", "b"), view(2, "a c")]) == 0
    assert taken_back([view(1, "a b"), view(2, "a c"), view(3, "a")]) == 2


def test_losses_are_right_words_that_company_costs() -> None:
    """A word that was wrong alone is no loss, one that reads otherwise is told apart from one that is gone."""
    said, alone = words("one two three four"), words("one two tree four")
    assert losses(said, alone, words("one two tree four")) == Losses(0, 0)
    assert losses(said, alone, words("one two four")) == Losses(0, 0)
    assert losses(said, alone, words("one tree for")) == Losses(1, 1)
    assert losses(said, alone, []) == Losses(3, 0)
    assert losses(said, [], ["you"]) == Losses(0, 0)


def test_figures_of_no_lags_are_unknown() -> None:
    """Percentiles lie between the nearest values; without a value there is none."""
    assert lag_figures([]) == LagFigures(0, None, None, None, None, None)
    found = lag_figures([1.0, 2.0, 3.0])
    assert (found.count, found.mean, found.p50) == (3, 2.0, 2.0)
    assert found.p90 == pytest.approx(2.8)


def test_words_are_matched_by_their_letters() -> None:
    """Case and punctuation do not part words, and a word without letters still is one."""
    assert (fold(" Don't,"), fold("—")) == ("dont", "-")
