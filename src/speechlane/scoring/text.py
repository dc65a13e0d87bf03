"""Word and character error rates: the fewest edits between two texts, over the length of the reference.

Edits are counted by jiwer (Levenshtein distance) on texts in their compared form, see `normalize_text`.
"""

from __future__ import annotations

from dataclasses import dataclass

import jiwer

from speechlane.scoring.normalize import normalize_text


@dataclass(frozen=True, slots=True)
class TextErrors:
    """Counts of words (`wer`) or of characters (`cer`). Sums pool texts: rates of sums are not means of rates."""

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def reference_length(self) -> int:
        return self.hits + self.substitutions + self.deletions

    @property
    def rate(self) -> float | None:
        """Errors as a fraction of the reference; over 1 when more was invented than was said.

        Without a reference there is nothing to divide by: None, or 0 when nothing was invented either.
        """
        if self.reference_length:
            return self.errors / self.reference_length
        return None if self.errors else 0.0

    def __add__(self, other: TextErrors) -> TextErrors:
        return TextErrors(
            self.hits + other.hits,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
        )


def wer(reference: str, hypothesis: str, *, language: str | None = "en") -> TextErrors:
    """Word errors of a hypothesis against what was said. ``language``: BCP-47 tag of both texts, None if unknown."""
    said, heard = (normalize_text(text, language) for text in (reference, hypothesis))
    return _counts(jiwer.process_words(said, heard))


def cer(reference: str, hypothesis: str, *, language: str | None = "en") -> TextErrors:
    """Character errors; white space does not count, so that languages written without spaces compare alike."""
    said, heard = (normalize_text(text, language).replace(" ", "") for text in (reference, hypothesis))
    return _counts(jiwer.process_characters(said, heard))


def _counts(output: jiwer.WordOutput | jiwer.CharacterOutput) -> TextErrors:
    return TextErrors(output.hits, output.substitutions, output.deletions, output.insertions)
