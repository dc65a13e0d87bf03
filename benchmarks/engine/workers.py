"""How many batches at once, of how many threads each: decodes per second and their waits, sessions asking without end.

    python benchmarks/engine/workers.py [--model FOLDER] [--sessions 8] [--seconds 6] [--rounds 2]

Each session asks for its next partial when the last is answered, as the live lane does under load: so the engine is
always full, and what counts is how many windows it decodes and how long each waits. The settings take turns, so that
a noisy machine harms all alike. About two minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
import wave
from collections import defaultdict
from pathlib import Path

import numpy as np

from speechlane.engine import DecodeOptions, DecodeRequest, Priority
from speechlane.local.dispatcher import EngineDispatcher
from speechlane.local.weights import open_model
from speechlane.local.whisper import WhisperDecoder
from speechlane.samples import sample
from speechlane.settings import load_settings

WINDOW_S, STEP = 6, 6_400
SETTINGS = [
    (workers, threads, batch, padded)
    for padded in (10, 15)
    for workers, threads in ((1, 0), (2, 1))
    for batch in (4, 8)
]


async def fill(folder: Path, setting: tuple[int, int, int, int], sessions: int, seconds: float) -> tuple[float, ...]:
    """Decodes a second, CPU seconds of each, median and 95th percentile of the wait."""
    workers, threads, batch, padded = setting
    decoder = WhisperDecoder(folder, model="bench", revision=None, digest=None, threads=threads, workers=workers)
    engine = EngineDispatcher(decoder, workers=workers, max_batch=batch)
    with sample("jfk.wav").open("rb") as file, wave.open(file) as clip:
        sound = np.frombuffer(clip.readframes(clip.getnframes()), "<i2").astype(np.float32) / np.float32(32768)
    waits: list[float] = []
    end = time.monotonic() + seconds

    async def session(number: int) -> None:
        at = number * 1_600
        while time.monotonic() < end:
            asked = time.monotonic()
            window = sound[at : at + WINDOW_S * 16_000]
            at = (at + STEP) % (len(sound) - WINDOW_S * 16_000)
            options = DecodeOptions(max_tokens=100)
            request = DecodeRequest(
                window, padded * 16_000, "en", options=options, priority=Priority.PARTIAL, source=str(number)
            )
            await engine.decode(request)
            waits.append(time.monotonic() - asked)

    before = time.process_time()
    await asyncio.gather(*(session(number) for number in range(sessions)))
    cpu = time.process_time() - before
    await engine.aclose()
    waits.sort()
    return len(waits) / seconds, cpu / len(waits), statistics.median(waits), waits[int(len(waits) * 0.95)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of the model's files (default: tiny.en as pulled)")
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    folder = options.model or open_model("tiny.en", load_settings().models).path
    found = defaultdict(list)
    for _ in range(options.rounds):
        for setting in SETTINGS:
            found[setting].append(asyncio.run(fill(folder, setting, options.sessions, options.seconds)))
    load = os.getloadavg()[0]
    print(f"{options.sessions} sessions, windows of {WINDOW_S} s, {os.cpu_count()} cores, load {load:.1f}\n")
    print("| padded to, s | workers x threads | batch | decodes/s, median (best) | CPU s each | wait p50 / p95, s |")
    print("|---|---|---|---|---|---|")
    for (workers, threads, batch, padded), rounds in found.items():
        rate, cpu, middle, late = (statistics.median(values) for values in zip(*rounds, strict=True))
        best = max(values[0] for values in rounds)
        print(
            f"| {padded} | {workers} x {threads or 'all'} | {batch} | {rate:.1f} ({best:.1f}) | {cpu:.3f} | "
            f"{middle:.2f} / {late:.2f} |"
        )


if __name__ == "__main__":
    main()
