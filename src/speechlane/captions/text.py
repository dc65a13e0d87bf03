"""Caption text as a screen shows it: white space, width, the end of a sentence."""

from __future__ import annotations

import re
import unicodedata

# A title or an initial bears a full stop and ends nothing.
_ABBREVIATION = re.compile(r"^(?:Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|[A-Z])\.$")
_SENTENCE_END = re.compile(r"[.?!…。？！؟।][\"'”’»)\]]*$")  # noqa: RUF001 - full-width marks of Chinese and Japanese
_CLAUSE_END = re.compile(r"[,;:–—、，；：،][\"'”’»)\]]*$")  # noqa: RUF001 - the same


def visible(text: str) -> str:
    """The text on one line: every run of white space is one space, control characters are gone.

    Line and paragraph separators of Unicode count as white space; nothing that is left can end a line or a cue.
    """
    kept = "".join(item for item in text if item.isspace() or unicodedata.category(item) != "Cc")
    return " ".join(kept.split())


def width(text: str) -> int:
    """Columns on screen: two for wide East Asian characters (UAX 11), none for combining marks."""
    return sum(
        0 if unicodedata.combining(item) else 2 if unicodedata.east_asian_width(item) in "WF" else 1 for item in text
    )


def ends_sentence(word: str) -> bool:
    """Whether a word's last mark closes a sentence."""
    stripped = word.strip()
    return bool(_SENTENCE_END.search(stripped)) and not _ABBREVIATION.match(stripped)


def ends_clause(word: str) -> bool:
    """Whether a word's last mark is a comma or its like."""
    return bool(_CLAUSE_END.search(word.strip()))
