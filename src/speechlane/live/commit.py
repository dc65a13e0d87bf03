"""The commit policy: which words of a growing hypothesis may no longer change.

LocalAgreement-2 (Liu, Spanakis, Niehues: "Low-Latency Sequence-to-Sequence Speech Recognition and Translation by
Partial Hypothesis Selection", Interspeech 2020; used with Whisper by Macháček, Dabre, Bojar, 2023): the longest
prefix on which two successive hypotheses agree. The end of a window is where Whisper errs, and it knows when: of words
agreed on with a probability over 0.95, not one in a hundred was wrong, however near the end; under 0.5 one in four was.
So an agreed word must end before the window does by a margin that shrinks as its probability grows.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from speechlane.engine import HypothesisWord
from speechlane.live.config import LivePolicy


class LocalAgreement:
    """Remembers the last hypothesis of one segment, from its last settled word on."""

    def __init__(self, policy: LivePolicy) -> None:
        self._policy = policy
        self._previous: tuple[HypothesisWord, ...] = ()

    def update(self, words: Sequence[HypothesisWord], window: int) -> tuple[int, int]:
        """Take the words heard behind the settled ones; return how many are settled now, and how many agreed on.

        ``window`` is the length of the decoded window in samples; the words' times are offsets within it.
        """
        agreed = common_words(words, self._previous)
        settled = 0
        while settled < agreed and self._stands(words, settled, window):
            settled += 1
        self.remember(words[settled:])
        return settled, agreed

    def remember(self, words: Sequence[HypothesisWord]) -> None:
        """These words, unsettled, are what the next hypothesis must agree with."""
        self._previous = tuple(words)

    def _stands(self, words: Sequence[HypothesisWord], index: int, window: int) -> bool:
        """Whether a word on which two hypotheses agree is far enough from the window's end for how sure they are."""
        policy, word = self._policy, words[index]
        doubt, before = 1.0, self._previous[index]
        if word.probability is not None and before.probability is not None:
            sure = min(word.probability, before.probability) - policy.doubtful_probability
            doubt = 1 - min(1.0, max(0.0, sure / (policy.sure_probability - policy.doubtful_probability)))
        if doubt and index + policy.hold_words >= len(words):
            return False
        margin = policy.sure_margin + round(doubt * (policy.edge_margin - policy.sure_margin))
        return word.end <= window - margin


def common_words(words: Sequence[HypothesisWord], others: Sequence[HypothesisWord]) -> int:
    """How many words both begin with, case and punctuation apart."""
    count = 0
    for word, other in zip(words, others, strict=False):
        if folded(word.text) != folded(other.text):
            break
        count += 1
    return count


@lru_cache(maxsize=4_096)
def folded(text: str) -> str:
    """A word as comparisons see it: case and punctuation may still waver, the word may not."""
    return "".join(
        letter for letter in unicodedata.normalize("NFKC", text).casefold() if unicodedata.category(letter)[0] in "LNS"
    )
