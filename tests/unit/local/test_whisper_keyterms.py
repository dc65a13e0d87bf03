"""When keyterms decide: only where a text names more of them."""

from __future__ import annotations

import pytest

from speechlane.local.whisper_keyterms import names_more

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("plain", "named", "more"),
    [
        ("said mister hail", "said Mr. Hale.", True),
        ("said mister hail", "said Mister Hail", False),
        ("said Mr. Hale", "said Mr. Hale", False),
        ("MR HALE's daughter", "Mr. Hale's daughter", False),
        ("said Mr. Hale to Byron", "said mister hail to Byron and Sintra", False),
        ("the Bryons", "the Byrons", False),
        ("", "Byron", True),
    ],
)
def test_a_text_that_names_more_is_told(plain: str, named: str, more: bool) -> None:
    """Whole words count, whatever their case and punctuation; a keyterm that got lost outweighs one that was won."""
    assert names_more(("Mr. Hale", "Byron", "Sintra"), plain, named) is more
