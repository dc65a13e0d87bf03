"""From Whisper's tokens to words with times: what of a decode is speech, where its words begin and end.

Times come from one alignment pass over the decoder's cross-attention (dynamic time warping, as in OpenAI's Whisper,
``timing.py``): a token lasts from its own jump in the path to the next token's. One step of the path is 20 ms.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from speechlane.engine import HypothesisWord

if TYPE_CHECKING:
    from collections.abc import Sequence

STEP_SAMPLES = 320
"""Samples one encoder position, one timestamp token and one alignment step stand for (20 ms)."""

# Whisper's own bound and measure for "this text is a loop" (OpenAI, whisper/transcribe.py).
_REPETITIVE_OVER = 2.4

_PREPENDED = "\"'“¿([{-"
_APPENDED = "\"'.。,，!！?？:：”)]}、"  # noqa: RUF001 - full-width marks are meant


class WordTokenizer(Protocol):
    """What this module needs of faster-whisper's tokenizer."""

    @property
    def eot(self) -> int: ...

    @property
    def timestamp_begin(self) -> int: ...

    def split_to_word_tokens(self, tokens: list[int]) -> tuple[list[str], list[list[int]]]: ...


def spoken_tokens(tokens: Sequence[int], tokenizer: WordTokenizer, sample_count: int) -> list[int]:
    """The text tokens of a decode, up to the first timestamp at or past the window's real end.

    What Whisper writes after such a timestamp was heard in the padding: it repeats the last sentence or invents one.
    """
    spoken: list[int] = []
    for token in tokens:
        if token >= tokenizer.timestamp_begin:
            if (token - tokenizer.timestamp_begin) * STEP_SAMPLES >= sample_count:
                break
        elif token < tokenizer.eot:
            spoken.append(token)
    return spoken


def timed_words(
    tokens: list[int], prefix_length: int, alignment: Any, tokenizer: WordTokenizer, sample_count: int
) -> tuple[HypothesisWord, ...]:
    """The words after the prefix, with times and probabilities.

    Args:
        tokens: text tokens of the whole window, the forced prefix first.
        prefix_length: how many of them are the prefix; a word never spans its end, so that settled words stay whole.
        alignment: CTranslate2's ``WhisperAlignmentResult`` for these tokens: ``alignments`` holds (token, step) pairs
            along the path, ``text_token_probs`` a probability for each token.
        tokenizer: the tokenizer of the window's language.
        sample_count: the window's real length; words are clamped to 0..sample_count and never step back.
    """
    # The library is imported late, see `whisper`.
    from faster_whisper.transcribe import merge_punctuations  # noqa: PLC0415 - costs 0.2 s at start-up

    path = np.array(alignment.alignments)
    # The path visits every token; the first step of each visit is where the token begins. The last row is the end.
    begins = path[np.diff(path[:, 0], prepend=-1) > 0, 1] * STEP_SAMPLES
    words: list[dict[str, Any]] = []
    at = prefix_length
    for text, word_tokens in zip(*tokenizer.split_to_word_tokens(tokens[prefix_length:]), strict=True):
        after = at + len(word_tokens)
        words.append(
            {
                "word": text,
                "tokens": word_tokens,
                "start": int(begins[at]),
                "end": int(begins[after]),
                "probability": float(np.mean(alignment.text_token_probs[at:after])),
            }
        )
        at = after
    if words and words[-1]["word"].endswith("\ufffd"):
        words.pop()  # the token bound fell inside a character
    merge_punctuations(words, _PREPENDED, _APPENDED)
    return tuple(_in_order(words, sample_count))


def _in_order(words: list[dict[str, Any]], sample_count: int) -> list[HypothesisWord]:
    ordered: list[HypothesisWord] = []
    earliest = 0
    for word in words:
        if not word["word"]:  # merged into its neighbour
            continue
        start = min(max(word["start"], earliest), sample_count)
        end = min(max(word["end"], start), sample_count)
        probability = min(max(word["probability"], 0.0), 1.0)
        ordered.append(HypothesisWord(word["word"], start, end, probability, tuple(word["tokens"])))
        earliest = end
    return ordered


def is_repetitive(text: str) -> bool:
    """Whether the text loops: it shrinks by more than 2.4 under zlib."""
    encoded = text.encode()
    return len(encoded) > _REPETITIVE_OVER * len(zlib.compress(encoded))
