"""Text as it is compared: what listeners would call the same is written the same.

English follows Whisper's own normaliser, as most published figures do: lower case, no punctuation, no fillers ("um"),
contractions opened ("won't": "will not"), numbers in digits ("twenty one": "21"), American spelling. Other languages:
lower case, no punctuation and symbols, composed characters (NFKC); numbers and contractions stay as they are.

Source: Radford et al. 2022, https://arxiv.org/abs/2212.04356, appendix C, by the library whisper-normalizer.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache

from speechlane.transcript.language import primary_subtag


def normalize_text(text: str, language: str | None) -> str:
    """The text in its compared form, words one space apart.

    Args:
        text: any text.
        language: its BCP-47 tag; None (unknown) is treated like any language but English.
    """
    english, other = _normalizers()
    normalizer = english if language is not None and primary_subtag(language) == "en" else other
    # Whisper's normaliser leaves a "." of an ellipsis at the end of a text; that is no word.
    return " ".join(word for word in normalizer(text).split() if any(map(str.isalnum, word)))


@cache
def _normalizers() -> tuple[Callable[[str], str], Callable[[str], str]]:
    """For English, and for all else. Whisper drops combining marks there, the vowels of Indic scripts; they stay."""
    with warnings.catch_warnings():
        # Python warns of an escape in the library's docstring, once, when it compiles the file.
        warnings.filterwarnings("ignore", message="invalid escape sequence")
        from whisper_normalizer.basic import (  # type: ignore[import-untyped]  # ships no types # noqa: PLC0415
            BasicTextNormalizer,
        )
        from whisper_normalizer.english import (  # type: ignore[import-untyped]  # the same # noqa: PLC0415
            EnglishTextNormalizer,
        )
    return EnglishTextNormalizer(), BasicTextNormalizer(preserve_marks=True)
