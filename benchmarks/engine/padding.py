"""How long should a window be padded? WER and time of padded lengths, for whole clips and for live windows.

    python benchmarks/engine/padding.py --model FOLDER [--corpus FOLDER] > report

Whole clips are scored against their references. Live windows are the first 2 to 12 s of long clips, cut anywhere; the
words that end at least 0.8 s before the cut are scored against the same stretch of the clip's offline text (whole clip,
30 s, beam 5). Rules take turns clip by clip, so that they share what else the machine is doing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import jiwer
import numpy as np
import soundfile
import soxr

from speechlane.audio import SAMPLE_RATE, Samples
from speechlane.engine import DecodeOptions, DecodeRequest, Hypothesis
from speechlane.local.whisper import WINDOW_SAMPLES, WhisperDecoder

REPOSITORY = Path(__file__).resolve().parents[2]
EDGE = round(0.8 * SAMPLE_RATE)


def at_least(seconds: float) -> Callable[[int], int]:
    """The rule: a length of so many seconds, or the window's own and one more where that is more."""
    return lambda count: min(WINDOW_SAMPLES, max(round(seconds * SAMPLE_RATE), count + SAMPLE_RATE))


def step(count: int) -> int:
    """The rule: the first of a few lengths, so that windows can share batches, that leaves three seconds free."""
    return next(
        (length * SAMPLE_RATE for length in (10, 15, 20) if count + 3 * SAMPLE_RATE <= length * SAMPLE_RATE),
        WINDOW_SAMPLES,
    )


RULES = {
    "own + 1 s": at_least(0),
    "8 s, or own + 1 s": at_least(8),
    "10 s, or own + 1 s": at_least(10),
    "15 s, or own + 1 s": at_least(15),
    "20 s, or own + 1 s": at_least(20),
    "30 s": at_least(30),
    "10, 15, 20, 30 s: first with 3 s free": step,
}

NORMAL = jiwer.Compose(
    [
        jiwer.ToLowerCase(),
        jiwer.SubstituteRegexes({"[-\u2013\u2014]": " ", r"[^\w\s']": ""}),
        jiwer.RemoveMultipleSpaces(),
        jiwer.Strip(),
        jiwer.ReduceToListOfListOfWords(),
    ]
)


@dataclass
class Tally:
    """What one rule did over many windows."""

    references: list[str] = field(default_factory=list)
    hypotheses: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    audio: float = 0.0
    loops: int = 0

    def add(self, reference: str, hypothesis: str, heard: Hypothesis, seconds: float, count: int) -> None:
        self.references.append(reference)
        self.hypotheses.append(hypothesis)
        self.seconds.append(seconds)
        self.audio += count / SAMPLE_RATE
        self.loops += heard.repetitive or heard.truncated

    def row(self, name: str) -> str:
        """One line of the report's table."""
        wer = jiwer.wer(self.references, self.hypotheses, reference_transform=NORMAL, hypothesis_transform=NORMAL)
        spent = np.array(self.seconds) * 1000
        return (
            f"| {name} | {100 * wer:.1f} | {self.loops} | {spent.mean():.0f} | {np.percentile(spent, 95):.0f} "
            f"| {1000 * sum(self.seconds) / self.audio:.0f} |"
        )


def decode(
    decoder: WhisperDecoder, samples: Samples, padded: int, beam_size: int, *, guard: bool = False
) -> tuple[Hypothesis, float]:
    """One window's hypothesis and the seconds it took."""
    bound = 16 + 15 * len(samples) // SAMPLE_RATE
    request = DecodeRequest(samples, padded, "en", options=DecodeOptions(beam_size, guard, bound))
    began = time.perf_counter()
    (heard,) = decoder.decode_batch([request])
    return heard, time.perf_counter() - began


def second_tries(padded: int, count: int) -> dict[str, tuple[int, bool]]:
    """Ways to decode a window that looped once more: its padded length, and whether with the repetition guard."""
    return {
        "same length, with the guard": (padded, True),
        "15 s, or own + 1 s": (at_least(15)(count), False),
        "30 s": (WINDOW_SAMPLES, False),
        "30 s, with the guard": (WINDOW_SAMPLES, True),
    }


def clips(corpus: Path) -> Iterator[tuple[str, Samples]]:
    """Reference text and samples of every second English clip, read, spoken or told; learners are left out."""
    manifest = [json.loads(line) for line in (corpus / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    english = [clip for clip in manifest if clip["language"] == "en" and "speechocean" not in clip["source"]]
    for clip in [clip for clip in english if clip["kind"] in {"read", "spontaneous", "talk"}][::2]:
        samples, rate = soundfile.read(corpus / clip["audio"], dtype="float32", always_2d=True)
        yield clip["text"], soxr.resample(samples.mean(axis=1), rate, SAMPLE_RATE).astype(np.float32)


def cuts(number: int, count: int) -> list[int]:
    """Where clip `number` of so many samples is cut: two lengths of 2 to 12 s that it has, spread over the clips."""
    lengths = [round((2 + (number * 1.7 + offset) % 10) * SAMPLE_RATE) for offset in (0, 5)]
    return [length for length in lengths if length + SAMPLE_RATE <= count]


def settled(heard: Hypothesis, before: int) -> str:
    """The words that end before a position."""
    return "".join(word.text for word in heard.words if word.end <= before)


def measure(decoder: WhisperDecoder, corpus: Path) -> dict[str, dict[str, Tally]]:
    """Tallies by table and rule."""
    tables: dict[str, dict[str, Tally]] = defaultdict(lambda: defaultdict(Tally))
    for number, (text, samples) in enumerate(clips(corpus)):
        for beam_size, table in ((1, "Whole clips, greedy"), (5, "Whole clips, beam 5")):
            for name, rule in RULES.items():
                heard, seconds = decode(decoder, samples, rule(len(samples)), beam_size)
                tables[table][name].add(text, heard.text, heard, seconds, len(samples))
                if heard.repetitive or heard.truncated:
                    tables["After a loop"]["first try"].add(text, heard.text, heard, seconds, len(samples))
                    for second, (padded, guard) in second_tries(rule(len(samples)), len(samples)).items():
                        heard, seconds = decode(decoder, samples, padded, beam_size, guard=guard)
                        tables["After a loop"][second].add(text, heard.text, heard, seconds, len(samples))
        offline, _ = decode(decoder, samples, WINDOW_SAMPLES, 5)
        for cut in cuts(number, len(samples)):
            reference = settled(offline, cut - EDGE)
            for name, rule in RULES.items() if reference else ():
                heard, seconds = decode(decoder, samples[:cut], rule(cut), 1)
                tables["Live windows, greedy"][name].add(reference, settled(heard, cut - EDGE), heard, seconds, cut)
    return tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="folder with a CTranslate2 Whisper model")
    parser.add_argument(
        "--corpus", type=Path, default=os.environ.get("SPEECHLANE_CORPUS", REPOSITORY.parent / "shared" / "corpus")
    )
    arguments = parser.parse_args()
    decoder = WhisperDecoder(arguments.model, model=arguments.model.parent.name, revision=None, digest=None)
    print(
        f"{decoder.identity.model}, {decoder.identity.engine_version}, {decoder.identity.compute_type} on "
        f"{os.cpu_count()} shared cores ({platform.machine()})."
    )
    for table, tallies in measure(decoder, Path(arguments.corpus)).items():
        print(f"\n## {table}: {len(next(iter(tallies.values())).references)} windows\n")
        print("| padded to | WER % | loops or cut short | ms mean | ms p95 | ms per s of audio |")
        print("| --- | --- | --- | --- | --- | --- |")
        for name, tally in tallies.items():
            print(tally.row(name))


if __name__ == "__main__":
    main()
