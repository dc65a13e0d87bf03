"""Keyterms as Whisper can take them: as text that was "said before" the window, where it takes spellings from.

Words alone stand there: timestamps or task tokens would say that something was heard. As faster-whisper's ``hotwords``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_TOKENS = 112
"""Tokens of keyterms at most, about forty names: half of what Whisper was trained to see before a window."""


def keyterm_tokens(keyterms: Sequence[str], vocabulary: Any) -> list[int]:
    """The tokens of the first keyterms that fit, with commas between; ``vocabulary`` is a ``tokenizers.Tokenizer``.

    A keyterm that spells a control token, as ``<|endoftext|>`` does, is left out: the tokenizer reads it as that token,
    which would end the prompt or misplace its start, for all windows of the batch.
    """
    end_of_text = vocabulary.token_to_id("<|endoftext|>")  # text before it, control tokens and timestamps from it on
    tokens: list[int] = []
    for term in keyterms:
        text = ("," if tokens else "") + " " + " ".join(term.split())
        more = vocabulary.encode(text, add_special_tokens=False).ids
        if any(token >= end_of_text for token in more):
            continue
        if len(tokens) + len(more) > MOST_TOKENS:
            break
        tokens += more
    return tokens


def names_more(keyterms: Sequence[str], plain: str, named: str) -> bool:
    """Whether a text names keyterms that the plain one lacks, and lacks none that it has; case does not matter."""
    in_plain, in_named = ({term for term in keyterms if _words(term) in _words(text)} for text in (plain, named))
    return in_plain < in_named


def _words(text: str) -> str:
    """A text's words between single spaces, with a space at both ends; hyphens stay."""
    words = " ".join(re.findall(r"\w+(?:-\w+)*", text.casefold()))
    return f" {words} "
