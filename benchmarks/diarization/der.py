"""How well does the default diarizer tell speakers apart, and what does it cost?

    python benchmarks/diarization/der.py [--corpus FOLDER] > benchmarks/reports/diarization.md

Diarization error rate with overlap scored, over whole recordings; a collar of 0.25 s leaves out so much on either side
of each edge of a reference turn. Sums weigh recordings by their speech. Each length is measured in a process of its
own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from clips import Clip, clips, corpus_folder, joins

from speechlane.audio import SAMPLE_RATE
from speechlane.diarization import SpeakerBounds, Turn
from speechlane.local.diarizer import THRESHOLD, LocalDiarizer
from speechlane.scoring import DiarizationErrors, der

THRESHOLDS = (0.35, 0.40, 0.45, 0.50, 0.55)
MINUTES = (1, 5, 15, 30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, default=corpus_folder())
    parser.add_argument("--minutes", type=float, help="measure one length of the joined clips and print it as JSON")
    arguments = parser.parse_args()
    if arguments.minutes:
        print(json.dumps(cost(arguments.corpus, arguments.minutes)))
        return
    diarizer = LocalDiarizer()
    short = list(clips(arguments.corpus))
    long = list(joins(arguments.corpus))
    warm_up(diarizer, short[0])
    print_heading(diarizer)
    print("\n## Speakers unknown\n")
    print_table(diarizer, short, long, known=False)
    print("\n## Number of speakers known\n")
    print_table(diarizer, short, long, known=True)
    print("\n## The threshold\n")
    print_thresholds(short, long)
    print("\n## Cost against length\n")
    print_costs(arguments.corpus)


def print_heading(diarizer: LocalDiarizer) -> None:
    identity = diarizer.identity
    print("# Diarization\n")
    print(f"`python benchmarks/diarization/der.py`. {identity.diarizer_version}.")
    print(f"{processor()}, {os.cpu_count()} cores, one thread a recording. Options of the default:")
    print(", ".join(f"{name} {value}" for name, value in identity.options) + ".\n")
    print(
        "DER in per cent, overlapping speech scored, over whole recordings. The clips are 30 s: two of them hold half\n"
        "a second of speech, and one pair of speakers merged moves a clip by tens of points. Differences of less than\n"
        "5 points in a sum are noise. In `lf_librispeech...` a turn is a whole clip, silences in it count as missed.\n"
        "Speed is audio over processor time, which is what one thread takes on a machine that does nothing else."
    )


def print_table(diarizer: LocalDiarizer, short: Sequence[Clip], long: Sequence[Clip], *, known: bool) -> None:
    print("| recording | speakers | found | DER | DER, 0.25 s collar | missed | false | confused | x real time |")
    print("|---|---|---|---|---|---|---|---|---|")
    sums = [DiarizationErrors(), DiarizationErrors()]
    seconds = 0.0
    for clip in short:
        found, errors, took = measured(diarizer, clip, known=known)
        print_row(clip.name, clip.speakers, len(speakers(found)), errors, seconds_of(clip) / took)
        sums = [total + part for total, part in zip(sums, errors, strict=True)]
        seconds += took
    print_row("**all eight clips**", "", "", sums, sum(map(seconds_of, short)) / seconds)
    for clip in long:
        found, errors, took = measured(diarizer, clip, known=known)
        name = f"{clip.name} ({seconds_of(clip) / 60:.1f} min)"
        print_row(name, clip.speakers, len(speakers(found)), errors, seconds_of(clip) / took)


def print_row(name: str, there: object, found: object, errors: Sequence[DiarizationErrors], speed: float) -> None:
    exact, forgiving = errors
    shares = " | ".join(percent(value) for value in (exact.miss, exact.false_alarm, exact.confusion))
    print(
        f"| {name} | {there} | {found} | {percent(exact.rate)} | {percent(forgiving.rate)} | {shares} | {speed:.0f} |"
    )


def print_thresholds(short: Sequence[Clip], long: Sequence[Clip]) -> None:
    print(f"Cosine distance at which voices are no longer one speaker's; the default is {THRESHOLD}.\n")
    print("| threshold | bundled | all eight clips | " + " | ".join(clip.name for clip in long) + " |")
    print("|---|---|---|" + "---|" * len(long))
    for threshold in THRESHOLDS:
        diarizer = LocalDiarizer(threshold=threshold)
        results = [measured(diarizer, clip, known=False) for clip in (*short, *long)]
        pooled = sum((errors[0] for _, errors, _ in results[: len(short)]), DiarizationErrors())
        told = [(percent(errors[0].rate), len(speakers(found))) for found, errors, _ in (results[0], *results[-2:])]
        bundled, *joined = [f"{rate} ({count} found)" for rate, count in told]
        print(f"| {threshold:.2f} | {bundled} | {percent(pooled.rate)} | " + " | ".join(joined) + " |")


def print_costs(corpus: Path) -> None:
    print(
        "The read join repeated to each length, speakers unknown, models loaded on the way. Peak memory of the\n"
        "process holds the recording itself, 3.8 MB a minute.\n"
    )
    print("| minutes | processor seconds | x real time | peak memory, MB |")
    print("|---|---|---|---|")
    for minutes in MINUTES:
        command = [sys.executable, __file__, "--corpus", str(corpus), "--minutes", str(minutes)]
        answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        speed = minutes * 60 / answer["seconds"]
        print(f"| {minutes} | {answer['seconds']:.1f} | {speed:.0f} | {answer['megabytes']:.0f} |")


def cost(corpus: Path, minutes: float) -> dict[str, float]:
    """Processor seconds and peak megabytes of one recording in a fresh process, models loaded on the way."""
    clip = next(joins(corpus))
    samples = np.resize(clip.samples, round(minutes * 60 * SAMPLE_RATE))
    started = time.process_time()
    asyncio.run(LocalDiarizer().diarize(samples, SpeakerBounds()))
    seconds = time.process_time() - started
    return {"seconds": seconds, "megabytes": peak_megabytes()}


def peak_megabytes() -> float:
    """Of this process since its start. Linux's own account: getrusage's would hold the parent's peak too."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) / 1024


def measured(
    diarizer: LocalDiarizer, clip: Clip, *, known: bool
) -> tuple[Sequence[Turn], list[DiarizationErrors], float]:
    """Turns, errors without and with a collar, processor seconds taken."""
    bounds = SpeakerBounds(speakers=clip.speakers if known else None)
    started = time.process_time()
    found = asyncio.run(diarizer.diarize(clip.samples, bounds))
    took = time.process_time() - started
    errors = [der(clip.turns, found, duration=len(clip.samples), collar=collar) for collar in (0.0, 0.25)]
    return found, errors, took


def warm_up(diarizer: LocalDiarizer, clip: Clip) -> None:
    """Load the models before anything is timed."""
    asyncio.run(diarizer.diarize(clip.samples[: 10 * SAMPLE_RATE], SpeakerBounds()))


def speakers(turns: Sequence[Turn]) -> set[str]:
    return {turn.speaker for turn in turns}


def seconds_of(clip: Clip) -> float:
    return len(clip.samples) / SAMPLE_RATE


def percent(fraction: float | None) -> str:
    return "no speech" if fraction is None else f"{100 * fraction:.1f}"


def processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    main()
