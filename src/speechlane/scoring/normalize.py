"""Text as it is compared: what listeners would call the same is written the same.

English follows Whisper's own normaliser, as most published figures do: lower case, no punctuation, no fillers ("um"),
contractions opened ("won't": "will not"), numbers in digits ("twenty one": "21"), American spelling. Other languages:
lower case, no punctuation and symbols, composed characters (NFKC); numbers and contractions stay as they are.

Source: Radford et al. 2022, https://arxiv.org/abs/2212.04356, appendix C, by the library whisper-normalizer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from whisper_normalizer.basic import BasicTextNormalizer  # type: ignore[import-untyped]  # ships no types
from whisper_normalizer.english import EnglishTextNormalizer  # type: ignore[import-untyped]  # the same

from speechlane.transcript.language import primary_subtag


def normalize_text(text: str, language: str | None) -> str:
    """The text in its compared form, words one space apart.

    Args:
        text: any text.
        language: its BCP-47 tag; None (unknown) is treated like any language but English.
    """
    normalizer = _english() if language is not None and primary_subtag(language) == "en" else _other()
    return " ".join(normalizer(text).split())


@cache
def _english() -> Callable[[str], str]:
    normalizer: Callable[[str], str] = EnglishTextNormalizer()
    return normalizer


@cache
def _other() -> Callable[[str], str]:
    # Whisper drops combining marks, which takes the vowels from Indic scripts; here they stay.
    normalizer: Callable[[str], str] = BasicTextNormalizer(preserve_marks=True)
    return normalizer
