"""The commit policy: which words of a growing hypothesis may no longer change.

LocalAgreement-2 (Liu, Spanakis, Niehues: "Low-Latency Sequence-to-Sequence Speech Recognition and Translation by
Partial Hypothesis Selection", Interspeech 2020; used with Whisper by Macháček, Dabre, Bojar, 2023): the longest
prefix on which two successive hypotheses agree. Two guards come on top, as the end of a window is where Whisper errs:
a word must end well before the window does, and some words must stand behind it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from speechlane.engine import HypothesisWord
from speechlane.live.config import LivePolicy


class LocalAgreement:
    """Remembers the last hypothesis of one segment, from its last settled word on."""

    def __init__(self, policy: LivePolicy) -> None:
        self._policy = policy
        self._previous: tuple[HypothesisWord, ...] = ()

    def update(self, words: Sequence[HypothesisWord], window: int) -> int:
        """Take the words heard behind the settled ones; return how many of them are settled now.

        ``window`` is the length of the decoded window in samples; the words' times are offsets within it.
        """
        agreed = 0
        for word, before in zip(words, self._previous, strict=False):
            if folded(word.text) != folded(before.text):
                break
            agreed += 1
        settled = 0
        for index in range(min(agreed, len(words) - self._policy.hold_words)):
            if words[index].end > window - self._policy.edge_margin:
                break
            settled = index + 1
        self._previous = tuple(words[settled:])
        return settled


def folded(text: str) -> str:
    """A word as comparisons see it: case and punctuation may still waver, the word may not."""
    return "".join(
        letter for letter in unicodedata.normalize("NFKC", text).casefold() if unicodedata.category(letter)[0] in "LNS"
    )
