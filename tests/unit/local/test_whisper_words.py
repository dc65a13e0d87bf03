"""From tokens to words: what is cut, how words get their times, what counts as a loop."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from speechlane.local.whisper_words import STEP_SAMPLES, is_repetitive, spoken_tokens, timed_words

pytestmark = pytest.mark.unit

EOT = 100
AT_0_S, AT_1_S, AT_2_S = 200, 250, 300


@dataclass
class Pieces:
    """A tokenizer whose tokens are spelled out; a word begins at each piece with a leading space or a mark."""

    spelling: dict[int, str] = field(default_factory=dict)
    eot: int = EOT
    timestamp_begin: int = AT_0_S

    def split_to_word_tokens(self, tokens: list[int]) -> tuple[list[str], list[list[int]]]:
        words: list[str] = []
        word_tokens: list[list[int]] = []
        for token in tokens:
            piece = self.spelling[token]
            if words and piece[0] not in ' .,"':
                words[-1] += piece
                word_tokens[-1].append(token)
            else:
                words.append(piece)
                word_tokens.append([token])
        return words, word_tokens


def aligned(begins: list[int]) -> SimpleNamespace:
    """An alignment in which token i begins at step begins[i]; the last is the end. The path holds each twice."""
    path = [(row, step + extra) for row, step in enumerate(begins) for extra in (0, 1)]
    return SimpleNamespace(alignments=path, text_token_probs=[0.5 + 0.1 * row for row in range(len(begins) - 1)])


def test_text_behind_the_real_end_is_cut() -> None:
    """Tokens count up to the first timestamp at or past the window's end; timestamps and the end mark are no text."""
    tokens = [AT_0_S, 1, 2, AT_1_S, AT_1_S, 3, AT_2_S, AT_2_S, 4, EOT]
    assert spoken_tokens(tokens, Pieces(), sample_count=32_001) == [1, 2, 3, 4]
    assert spoken_tokens(tokens, Pieces(), sample_count=32_000) == [1, 2, 3]
    assert spoken_tokens(tokens, Pieces(), sample_count=16_000) == [1, 2]


def test_words_get_the_steps_of_their_tokens() -> None:
    """A word lasts from its first token's step to the next word's, its probability the mean of its tokens'."""
    tokenizer = Pieces({1: " ask", 2: " coun", 3: "try"})
    words = timed_words([1, 2, 3], 0, aligned([5, 10, 12, 20]), tokenizer, 16_000)
    assert [(word.text, word.start // STEP_SAMPLES, word.end // STEP_SAMPLES) for word in words] == [
        (" ask", 5, 10),
        (" country", 10, 20),
    ]
    assert [word.probability for word in words] == pytest.approx([0.5, 0.65])
    assert [word.tokens for word in words] == [(1,), (2, 3)]


def test_the_prefix_is_left_out_and_stays_whole() -> None:
    """Words after the prefix only; a piece that would continue its last word stands by itself."""
    tokenizer = Pieces({1: " coun", 2: "try", 3: " ask"})
    words = timed_words([1, 2, 3], 1, aligned([5, 10, 12, 20]), tokenizer, 16_000)
    assert [(word.text, word.start // STEP_SAMPLES) for word in words] == [("try", 10), (" ask", 12)]


def test_marks_join_their_words_without_their_pauses() -> None:
    """Punctuation joins its word with its tokens; the word's time is not drawn out over the pause behind it."""
    tokenizer = Pieces({1: ' "', 2: "Yes", 3: ".", 4: " No"})
    tokenizer.spelling[2] = " Yes"
    words = timed_words([1, 2, 3, 4], 0, aligned([0, 2, 6, 40, 45]), tokenizer, 16_000)
    assert [(word.text, word.tokens) for word in words] == [(' " Yes.', (1, 2, 3)), (" No", (4,))]
    assert words[0].end == 6 * STEP_SAMPLES


def test_times_are_clamped_to_the_window() -> None:
    """Steps past the real end are drawn back to it, so that 0 <= start <= end <= n."""
    tokenizer = Pieces({1: " a", 2: " b"})
    words = timed_words([1, 2], 0, aligned([1, 3, 9]), tokenizer, 1_000)
    assert [(word.start, word.end) for word in words] == [(320, 960), (960, 1_000)]


def test_half_a_character_at_the_end_is_dropped() -> None:
    """Where the token bound fell inside a character there is no word yet."""
    tokenizer = Pieces({1: " a", 2: " \ufffd"})
    words = timed_words([1, 2], 0, aligned([1, 3, 9]), tokenizer, 16_000)
    assert [word.text for word in words] == [" a"]


def test_loops_are_told_from_speech() -> None:
    """Whisper's measure: text that zlib shrinks more than 2.4 times is a loop; speech and short text are not."""
    assert is_repetitive(" and then we go" * 8)
    assert not is_repetitive("Ask not what your country can do for you, ask what you can do for your country.")
    assert not is_repetitive("")
