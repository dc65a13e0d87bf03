"""Word and character error rates."""

from __future__ import annotations

import pytest

from speechlane.scoring import TextErrors, cer, normalize_text, wer

pytestmark = pytest.mark.unit


def test_each_kind_of_error_is_counted() -> None:
    """One word replaced, one left out and two invented are told apart; the rate is their sum over what was said."""
    found = wer("the quick brown fox jumps", "a quick fox jumps so very")
    assert found == TextErrors(hits=3, substitutions=1, deletions=1, insertions=2)
    assert (found.errors, found.reference_length, found.rate) == (4, 5, 0.8)


def test_writing_is_no_error() -> None:
    """Case, punctuation, contractions, fillers, numbers in words and British spelling are one text in English."""
    said = "Well, um, we'll need twenty-one colours - won't we?"
    assert wer(said, "well we will need 21 colors will not we").rate == 0


def test_an_empty_reference_has_no_rate() -> None:
    """Text out of nothing is counted but is no fraction of nothing; nothing out of nothing is right."""
    invented = wer("", "thank you")
    assert (invented.insertions, invented.rate) == (2, None)
    assert wer("", "").rate == 0
    assert wer("... um", "").rate == 0


def test_a_rate_can_be_over_one() -> None:
    """More invented than said."""
    assert wer("yes", "no no no").rate == 3


def test_sums_pool_texts() -> None:
    """The rate over two texts is that of all their words, not the mean of two rates."""
    pooled = wer("one", "two") + wer("a b c d e f g h i", "a b c d e f g h i")
    assert pooled == TextErrors(hits=9, substitutions=1)
    assert pooled.rate == 0.1
    assert sum([pooled, pooled], TextErrors()).rate == 0.1


def test_characters_are_counted_without_white_space() -> None:
    """Where words are not separated, spaces that a recogniser puts in or leaves out are no errors."""
    assert cer("今日は、天気がいい。", "今日は 天気 が悪い", language="ja") == TextErrors(hits=7, substitutions=1)
    assert cer("abcd", "abxd").rate == 0.25


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "  It's   $20 -- the 1st\n", "it is $20 the 1st"),
        ("en-GB", "I can't favour it.", "i can not favor it"),
        ("de", "Größe: 10 Äpfel!", "größe 10 äpfel"),
        ("fr-CA", "L’été, c'est [rires] fini…", "l été c est fini"),  # noqa: RUF001 - a typographic apostrophe
        (None, "Ｆｕｌｌ ﬁgure", "full figure"),  # noqa: RUF001 - full-width letters and a ligature are meant
        ("hi", "हिन्दी।", "हिन्दी"),
        ("en", "Well ... I said so...", "well i said so"),
        ("en", "", ""),
    ],
)
def test_normal_form(language: str | None, text: str, expected: str) -> None:
    """English is opened up and spelled one way; other languages keep letters, marks and numbers."""
    assert normalize_text(text, language) == expected


@pytest.mark.parametrize("language", ["en", "de", None])
def test_normalizing_twice_changes_nothing(language: str | None) -> None:
    """The compared form is its own compared form."""
    once = normalize_text("Don't you think, Mr. Bell, that 3,000 is a lot?", language)
    assert normalize_text(once, language) == once
