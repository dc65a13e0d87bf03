"""Which unstable words a reader sees: soon, but not each guess that the next answer takes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from speechlane.engine import HypothesisWord
from speechlane.live.commit import common_words
from speechlane.live.config import LivePolicy

_WAVERING_MARKS = ".,;:?!…"


class Display:
    """The unstable words of one segment that are on the screen.

    A word is shown once two hypotheses agree on it or its probability is `LivePolicy.shown_probability`; what stands on
    the screen stays until an answer that can be believed says otherwise.
    """

    def __init__(self, policy: LivePolicy) -> None:
        self._policy = policy
        self.words: tuple[HypothesisWord, ...] = ()
        """What is on the screen behind the stable words."""

    def update(
        self,
        settled: Sequence[HypothesisWord],
        words: Sequence[HypothesisWord],
        agreed: int,
        window: int,
        *,
        paused: bool,
    ) -> tuple[HypothesisWord, ...]:
        """What to show behind the stable words.

        ``settled`` are the words of an answer that were settled just now, ``words`` those behind them, of which the
        first ``agreed`` are as in the hypothesis before; ``window`` is the length of the decoded window in samples.
        ``paused``: the speaker pauses at the window's end, so no word is cut there.
        """
        shown = self.words[len(settled) :] if common_words(self.words, settled) == len(settled) else ()
        credible = len(words) if paused else agreed
        while credible < len(words) and self._believed(words[credible], window):
            credible += 1
        candidate = tuple(words[:credible])
        if candidate and credible == len(words) and not paused:
            # The decoder ends each window as if the speaker had stopped there.
            last = candidate[-1]
            candidate = (*candidate[:-1], replace(last, text=last.text.rstrip(_WAVERING_MARKS)))
        if common_words(shown, candidate) < len(candidate):
            shown = candidate
        self.words = shown
        return shown

    def _believed(self, word: HypothesisWord, window: int) -> bool:
        """Whether a word that the hypothesis before did not have is fit to be shown."""
        margin = self._policy.shown_margin if word.probability is None else 2 * self._policy.edge_margin
        return word.end <= window - margin or (word.probability or 0) >= self._policy.shown_probability
