"""Which unstable words are shown: soon, and without flicker."""

from __future__ import annotations

import pytest

from speechlane.engine import HypothesisWord
from speechlane.live.config import LivePolicy
from speechlane.live.display import Display

pytestmark = pytest.mark.unit

WINDOW = 48_000


def words(text: str, *, probability: float | None = 0.5, before_end: int = 1_600) -> list[HypothesisWord]:
    """Words of 0.1 s each, the last of which ends so many samples before the window does."""
    spoken = text.split()
    first = WINDOW - before_end - 1_600 * len(spoken)
    return [
        HypothesisWord(f" {word}", first + 1_600 * place, first + 1_600 * (place + 1), probability)
        for place, word in enumerate(spoken)
    ]


def text(shown: tuple[HypothesisWord, ...]) -> str:
    return "".join(word.text for word in shown).strip()


def test_a_likely_word_is_shown_at_once_and_a_doubtful_one_is_not():
    """From `shown_probability` on a word needs no second hypothesis; words behind a doubtful one wait with it."""
    display = Display(LivePolicy())
    likely, doubtful = words("one", probability=0.9), words("two")
    assert text(display.update((), [*likely, *doubtful, *likely], 0, WINDOW, paused=False)) == "one"


def test_two_hypotheses_make_a_doubtful_word_fit_to_be_shown():
    """What was heard twice is shown, whatever its probability."""
    assert text(Display(LivePolicy()).update((), words("one two"), 2, WINDOW, paused=False)) == "one two"


def test_a_word_far_from_the_edge_is_shown():
    """Twice `edge_margin` before the window's end a word is shown even if each answer words it otherwise."""
    heard = words("one two", before_end=26_000)
    assert text(Display(LivePolicy()).update((), heard, 0, WINDOW, paused=False)) == "one two"


def test_an_engine_without_probabilities_shows_words_off_the_edge():
    """Without probabilities only the distance from the window's end says whether a word is whole."""
    heard = words("one two three", probability=None)
    assert text(Display(LivePolicy()).update((), heard, 0, WINDOW, paused=False)) == "one two"


def test_a_doubtful_guess_does_not_wipe_what_is_shown():
    """What stands on the screen stays until an answer that can be believed says otherwise."""
    display = Display(LivePolicy())
    display.update((), words("one two"), 2, WINDOW, paused=False)
    assert text(display.update((), words("won too"), 0, WINDOW, paused=False)) == "one two"
    assert text(display.update((), words("won too"), 2, WINDOW, paused=False)) == "won too"


def test_settled_words_leave_the_unstable_part():
    """Words that were settled just now are shown as stable text and no longer here."""
    display = Display(LivePolicy())
    display.update((), words("one two three"), 3, WINDOW, paused=False)
    assert text(display.update(words("one"), words("two three"), 2, WINDOW, paused=False)) == "two three"
    assert text(display.update(words("to"), words("tree"), 0, WINDOW, paused=False)) == ""


def test_a_mark_at_the_edge_is_not_shown_while_speech_goes_on():
    """The decoder ends each window as if the speaker had stopped; at a pause the mark is believed."""
    display = Display(LivePolicy())
    assert text(display.update((), words("one, two."), 2, WINDOW, paused=False)) == "one, two"
    assert text(display.update((), words("one, two. Three."), 2, WINDOW, paused=True)) == "one, two. Three."
