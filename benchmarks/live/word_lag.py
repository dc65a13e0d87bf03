"""What a reader of live captions waits for and sees change, measured against one offline decode of the same clip."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import jiwer
from clips import Clip
from decode_cache import CachedEngine
from rapidfuzz.distance import Levenshtein
from scripted_lane import ScriptedLane

from speechlane.audio import SAMPLE_RATE
from speechlane.audio.gate import GateSettings, SpeechEnded, SpeechGate, SpeechStarted
from speechlane.engine import DecodeRequest, HypothesisWord
from speechlane.live.config import LivePolicy
from speechlane.live.segment import moved
from speechlane.scoring.normalize import normalize_text


@dataclass(frozen=True)
class WordLag:
    """Seconds from a word's end in the audio to the moment it was first shown, and settled."""

    clip: str
    word: str
    end: float
    shown: float
    settled: float


@dataclass(frozen=True)
class Measured:
    """One clip: its lags, and its texts for the word error rate."""

    clip: Clip
    lane: ScriptedLane
    offline: str
    lags: list[WordLag]
    revised: int
    """Words shown that were no longer at their place, to the letter, at the next moment with a message."""
    reworded: int
    """The same, case and punctuation apart."""


def measure(clip: Clip, engine: CachedEngine, policy: LivePolicy) -> Measured:
    """Run the clip live and offline and compare."""
    lane = ScriptedLane(clip.samples, engine, policy).run()
    heard = offline(clip, engine, policy)
    final = folded(lane.words)
    first_shown = shown_at(lane.shown, final)
    lags = []
    for theirs, ours in matches(folded([word.text for word in heard]), final):
        end = heard[theirs].end / SAMPLE_RATE
        settled = lane.settled[ours] / 1000
        shown = min(first_shown.get(ours, lane.settled[ours]) / 1000, settled)
        lags.append(WordLag(clip.name, heard[theirs].text.strip(), end, shown - end, settled - end))
    moments = [words for _, words in lane.shown]
    return Measured(
        clip,
        lane,
        "".join(word.text for word in heard),
        lags,
        revised=changed(moments),
        reworded=changed([folded(words) for words in moments]),
    )


def offline(clip: Clip, engine: CachedEngine, policy: LivePolicy) -> list[HypothesisWord]:
    """Greedy decode, padded to 30 s, of each recording from the gate's first speech in it to its last.

    The words' times are positions in the clip.
    """
    words = []
    for start, end in clip.parts or ((0, len(clip.samples)),):
        samples = clip.samples[start:end]
        gate = SpeechGate(GateSettings(frame_samples=engine.gate.frame_samples))
        marks: list[int] = []
        for score in engine.scores(samples):
            transition = gate.feed(score)
            if isinstance(transition, SpeechStarted | SpeechEnded):
                marks.append(transition.position)
        if gate.speaking:
            marks.append(len(samples))
        if marks:
            first = max(0, marks[0] - policy.pre_roll)
            window = samples[first : min(len(samples), marks[-1] + policy.post_roll)]
            heard = engine.decode(DecodeRequest(window, 30 * SAMPLE_RATE, "en")).words
            words += moved(heard, start + first)
    return words


def folded(words: Sequence[str]) -> list[str]:
    """Words as comparisons see them: letters and digits in lower case."""
    return ["".join(letter for letter in word.lower() if letter.isalnum()) for word in words]


def matches(reference: Sequence[str], heard: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of places whose words are alike in the alignment with the fewest edits."""
    pairs = []
    for step in Levenshtein.opcodes(reference, heard):
        if step.tag == "equal":
            pairs += list(zip(range(step.src_start, step.src_end), range(step.dest_start, step.dest_end), strict=True))
    return pairs


def shown_at(shown: Sequence[tuple[int, list[str]]], final: Sequence[str]) -> dict[int, int]:
    """When each final word was first on the screen, in ms."""
    first: dict[int, int] = {}
    for at, words in shown:
        for _, place in matches(folded(words), final[: len(words) + 2]):
            first.setdefault(place, at)
    return first


def changed(moments: Sequence[Sequence[str]]) -> int:
    """Words that are not at their place at the next moment."""
    return sum(
        1
        for before, after in itertools.pairwise(moments)
        for place, word in enumerate(before)
        if place >= len(after) or after[place] != word
    )


def error_rate(texts: Sequence[tuple[str, str]]) -> float:
    """Word error rate over pairs of (reference, heard), both in Whisper's normal form of English."""
    references, heard = ([normalize_text(text, "en") for text in column] for column in zip(*texts, strict=True))
    return float(jiwer.wer(references, heard))
