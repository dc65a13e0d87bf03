"""Who said each word: the likeliest course of speakers beside the largest overlap and the middle of the word.

    python benchmarks/diarization/words.py [--corpus FOLDER] > benchmarks/reports/diarization_words.md

Words, times and speakers are those of the AMI clips' CTM files. A recogniser's times are worse, so they are also
shifted at random: each edge by a normal deviation, and one word in ten stretched over what follows. Turns are the
reference's, or those of the default diarizer. A word is wrong when its speaker is not the one it has under the best
one-to-one match of labels in its recording.
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from clips import MEETINGS, Clip, clips, corpus_folder
from scipy.optimize import linear_sum_assignment

from speechlane.diarization import SpeakerBounds, Turn, assign_speakers
from speechlane.local.diarizer import LocalDiarizer
from speechlane.transcript import Word

SEEDS = range(20)
DRIFTS = ((0, 0.0), (50, 0.0), (100, 0.0), (250, 0.1))

Assign = Callable[[Sequence[Word], Sequence[Turn]], Sequence[str | None]]


@dataclass(frozen=True)
class Meeting:
    """A clip with its words, each with its true speaker, and the turns to assign them by."""

    words: tuple[Word, ...]
    reference: tuple[Turn, ...]
    found: tuple[Turn, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, default=corpus_folder())
    corpus = parser.parse_args().corpus
    _, *recordings = clips(corpus)
    diarizer = LocalDiarizer()
    meetings = [meeting(corpus, name, clip, diarizer) for name, clip in zip(MEETINGS, recordings, strict=True)]
    total = sum(len(one.words) for one in meetings)
    print("# Words to speakers\n")
    print(f"`python benchmarks/diarization/words.py`. {total} words of {len(meetings)} AMI clips of 30 s;")
    print(f"words given to the wrong speaker, per cent, mean of {len(SEEDS)} draws where times are shifted.")
    print(
        "The reference's turns were made from these very words: with true times their edges agree to the millisecond."
    )
    for title, turns in (("Turns of the reference", "reference"), ("Turns of the default diarizer", "found")):
        print(f"\n## {title}\n")
        print("| rule | " + " | ".join(map(name_of_drift, DRIFTS)) + " |")
        print("|---|" + "---|" * len(DRIFTS))
        for name, rule in RULES.items():
            shares = [wrong_share(meetings, turns, rule, *drift) for drift in DRIFTS]
            print(f"| {name} | " + " | ".join(f"{100 * share:.1f}" for share in shares) + " |")


def name_of_drift(drift: tuple[int, float]) -> str:
    deviation, stretched = drift
    return "true times" if not deviation else f"± {deviation} ms" + (", 10 % stretched" if stretched else "")


def meeting(corpus: Path, name: str, clip: Clip, diarizer: LocalDiarizer) -> Meeting:
    lines = (corpus / "ref" / f"ami_{name}_000_030.ctm").read_text(encoding="utf-8").splitlines()
    words = []
    for _, speaker, start, duration, text in map(str.split, lines):
        start_ms = round(1000 * float(start))
        words.append(Word(f" {text}", start_ms, start_ms + round(1000 * float(duration)), speaker=speaker))
    found = asyncio.run(diarizer.diarize(clip.samples, SpeakerBounds()))
    return Meeting(in_order(words), clip.turns, found)


def in_order(words: Sequence[Word]) -> tuple[Word, ...]:
    return tuple(sorted(words, key=lambda word: (word.start_ms, word.end_ms)))


def wrong_share(meetings: Sequence[Meeting], turns: str, rule: Assign, deviation: int, stretched: float) -> float:
    wrong = words = 0
    for seed in SEEDS if deviation else (0,):
        chance = random.Random(seed)
        for one in meetings:
            heard = in_order(shifted(one.words, chance, deviation, stretched))
            wrong += count_wrong(heard, rule(heard, getattr(one, turns)))
            words += len(heard)
    return wrong / words


def shifted(words: Sequence[Word], chance: random.Random, deviation: int, stretched: float) -> list[Word]:
    """The words as a recogniser might time them; a stretched one reaches half a second into the next."""
    moved = []
    for index, word in enumerate(words):
        start = max(0, round(word.start_ms + chance.gauss(0, deviation)))
        end = max(start + 20, round(word.end_ms + chance.gauss(0, deviation)))
        if index + 1 < len(words) and chance.random() < stretched:
            end = max(end, min(words[index + 1].start_ms + 500, end + 3000))
        moved.append(Word(word.text, start, end, speaker=word.speaker))
    return moved


def count_wrong(words: Sequence[Word], labels: Sequence[str | None]) -> int:
    pairs = Counter((word.speaker, label) for word, label in zip(words, labels, strict=True) if label is not None)
    people = sorted({word.speaker or "" for word in words})
    names = sorted({label for label in labels if label is not None})
    agreed = np.array([[pairs[person, name] for name in names] for person in people]).reshape(len(people), len(names))
    return len(words) - int(agreed[linear_sum_assignment(agreed, maximize=True)].sum())


def by_course(words: Sequence[Word], turns: Sequence[Turn]) -> list[str | None]:
    return [word.speaker for word in assign_speakers(words, turns)]


def by_largest_overlap(words: Sequence[Word], turns: Sequence[Turn]) -> list[str | None]:
    """As WhisperX: the speaker with the most overlap in sum; nobody where there is none."""
    told: list[str | None] = []
    for word in words:
        shares: Counter[str] = Counter()
        for turn in turns:
            shares[turn.speaker] += max(0, min(word.end_ms * 16, turn.end) - max(word.start_ms * 16, turn.start))
        (speaker, share), *_ = [*shares.most_common(1), ("", 0)]
        told.append(speaker if share else None)
    return told


def by_middle(words: Sequence[Word], turns: Sequence[Turn]) -> list[str | None]:
    """The first turn that holds the middle of the word."""
    middles = [8 * (word.start_ms + word.end_ms) for word in words]
    return [next((turn.speaker for turn in turns if turn.start <= at < turn.end), None) for at in middles]


RULES: dict[str, Assign] = {
    "likeliest course (default)": by_course,
    "largest overlap": by_largest_overlap,
    "middle of the word": by_middle,
}


if __name__ == "__main__":
    main()
