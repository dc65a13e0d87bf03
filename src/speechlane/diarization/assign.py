"""Words x turns -> who said each word.

A recogniser's word times drift by tenths of a second and a diarizer's turns overlap, so the overlap of one word with
one turn is weak evidence: at the edges of turns it flips single words. Here each word weighs the turns around its
middle most, speakers who talk at once share what they overlap, and the likeliest course of speakers over all words is
taken (Viterbi 1967), in which a change costs less at a pause or after a sentence.

Compared with the largest overlap word by word, as WhisperX assigns speakers, in
``benchmarks/reports/diarization_words.md``.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from speechlane.diarization.turns import SAMPLES_PER_MS, Turn
from speechlane.transcript import Word

# Costs and evidence are on one scale: 1 is a word that lies wholly within one speaker's turn.
_CHANGE = 0.3
_CHANGE_AT_BREAK = 0.1
_NEAR = 0.5
_TIE = 1e-9
_PAUSE_MS = 300
_NEAR_SAMPLES = 1000 * SAMPLES_PER_MS
_SENTENCE_ENDS = (".", "?", "!", "。", "？", "！", "…", "؟", "।")  # noqa: RUF001 - full-width marks are meant

# A word's end is sometimes stretched over the silence behind it; no word is spoken slower than this.
_SPOKEN_MS = 300
_SPOKEN_MS_PER_LETTER = 100
_LONGEST_SPOKEN_MS = 1000

Evidence = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Samples ``start`` to ``end`` in which the same ``speakers`` talk, at least one."""

    start: int
    end: int
    speakers: tuple[str, ...]


def assign_speakers(words: Sequence[Word], turns: Sequence[Turn]) -> tuple[Word, ...]:
    """The same words, each with its speaker, or None where neither a turn nor both neighbours tell.

    Args:
        words: of one channel, ordered by start.
        turns: of the same recording, in any order; turns of different speakers may overlap.

    A word outside all turns goes to the nearest turn within 1 s of its edge.
    """
    stretches = _stretches(turns)
    evidence = [_evidence(word, stretches) for word in words]
    told = [index for index, shares in enumerate(evidence) if shares]
    speakers: list[str | None] = [None] * len(words)
    course = _likeliest_course([evidence[index] for index in told], [words[index] for index in told])
    for index, speaker in zip(told, course, strict=True):
        speakers[index] = speaker
    return tuple(word.spoken_by(speaker) for word, speaker in zip(words, _fill_between_equals(speakers), strict=True))


def _stretches(turns: Sequence[Turn]) -> list[_Stretch]:
    """The time line cut wherever somebody starts or stops, without its silences."""
    changes = sorted(
        [(turn.start, 1, turn.speaker) for turn in turns] + [(turn.end, -1, turn.speaker) for turn in turns]
    )
    talking: dict[str, int] = {}
    stretches = []
    for (position, step, speaker), following in pairwise([*changes, (0, 0, "")]):
        talking[speaker] = talking.get(speaker, 0) + step
        active = tuple(sorted(name for name, count in talking.items() if count > 0))
        if active and following[0] > position:
            stretches.append(_Stretch(position, following[0], active))
    return stretches


def _evidence(word: Word, stretches: Sequence[_Stretch]) -> Evidence:
    """How much of the word each speaker has, 0..1; nothing when no turn is near."""
    start, end = _span(word)
    first = bisect_right(stretches, start, key=lambda stretch: stretch.end)
    last = bisect_left(stretches, end, key=lambda stretch: stretch.start)
    shares: dict[str, float] = {}
    for stretch in stretches[first:last]:
        part = _weight_before(stretch.end, start, end) - _weight_before(stretch.start, start, end)
        for speaker in stretch.speakers:
            shares[speaker] = shares.get(speaker, 0.0) + part / len(stretch.speakers)
    if shares:
        return shares
    near = [stretches[index] for index in (first - 1, first) if 0 <= index < len(stretches)]
    gaps = {stretch: max(stretch.start - end, start - stretch.end) for stretch in near}
    nearest = min(gaps, key=gaps.__getitem__, default=None)
    if nearest is None or gaps[nearest] > _NEAR_SAMPLES:
        return {}
    return dict.fromkeys(nearest.speakers, _NEAR / len(nearest.speakers))


def _span(word: Word) -> tuple[int, int]:
    """The samples in which the word can have been spoken, at least one millisecond."""
    longest = min(_LONGEST_SPOKEN_MS, _SPOKEN_MS + _SPOKEN_MS_PER_LETTER * len(word.text.strip()))
    end_ms = min(max(word.end_ms, word.start_ms + 1), word.start_ms + longest)
    return word.start_ms * SAMPLES_PER_MS, end_ms * SAMPLES_PER_MS


def _weight_before(position: int, start: int, end: int) -> float:
    """The share, 0..1, that lies before ``position`` of a triangle over ``start`` to ``end`` with its peak midway."""
    part = min(max((position - start) / (end - start), 0.0), 1.0)
    return 2 * part**2 if part <= 0.5 else 1 - 2 * (1 - part) ** 2


def _likeliest_course(evidence: Sequence[Evidence], words: Sequence[Word]) -> list[str]:
    """One speaker a word, so that the evidence less the cost of changes is greatest; of equal courses the one that
    changes earliest: where a turn runs into the next, the words are of whom began to talk.
    """
    speakers = sorted({speaker for shares in evidence for speaker in shares})
    if not speakers:
        return []
    score = {speaker: evidence[0].get(speaker, 0.0) for speaker in speakers}
    came_from: list[dict[str, str]] = []
    for (before, word), shares in zip(pairwise(words), evidence[1:], strict=True):
        best = max(speakers, key=score.__getitem__)
        changed = score[best] - _cost_of_change(before, word)
        came_from.append({speaker: speaker if score[speaker] >= changed - _TIE else best for speaker in speakers})
        score = {speaker: max(score[speaker], changed) + shares.get(speaker, 0.0) for speaker in speakers}
    course = [max(speakers, key=score.__getitem__)]
    for origin in reversed(came_from):
        course.append(origin[course[-1]])
    return course[::-1]


def _cost_of_change(before: Word, word: Word) -> float:
    broken = word.start_ms - before.end_ms >= _PAUSE_MS or before.text.rstrip().endswith(_SENTENCE_ENDS)
    return _CHANGE_AT_BREAK if broken else _CHANGE


def _fill_between_equals(speakers: Sequence[str | None]) -> list[str | None]:
    """Words that nothing tells of go to the speaker of the words on both sides, where these agree."""
    filled = list(speakers)
    told = [index for index, speaker in enumerate(speakers) if speaker is not None]
    for left, right in pairwise(told):
        if speakers[left] == speakers[right]:
            filled[left:right] = [speakers[left]] * (right - left)
    return filled
