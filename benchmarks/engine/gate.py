"""What does the speech gate cost a session? CPU for each second of audio, inline and handed to a thread.

    python benchmarks/engine/gate.py > report

A client's frames of 20 to 1000 ms are scored as they arrive, as the live lane does it; `to_thread` is what the event
loop's own thread pool adds. Ways take turns. Both figures are for one channel, on one core.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

import numpy as np

from speechlane.audio import SAMPLE_RATE, Samples
from speechlane.local.silero import SileroGate, SileroScorer

FRAME_MS = (20, 64, 100, 1000)
SECONDS = 10
ROUNDS = 5

Way = Callable[[SileroScorer, Samples], Awaitable[object]]


async def inline(scorer: SileroScorer, frame: Samples) -> object:
    """On the event loop."""
    return scorer.score(frame)


async def in_thread(scorer: SileroScorer, frame: Samples) -> object:
    """On a thread of the loop's pool."""
    return await asyncio.to_thread(scorer.score, frame)


async def spend(gate: SileroGate, way: Way, frames: list[Samples]) -> tuple[float, float]:
    """Milliseconds of wall clock and of the process's CPU for each second of audio."""
    scorer = gate.scorer()
    wall, cpu = time.perf_counter(), time.process_time()
    for frame in frames:
        await way(scorer, frame)
    return tuple(1000 * spent / SECONDS for spent in (time.perf_counter() - wall, time.process_time() - cpu))


async def main() -> None:
    gate = SileroGate()
    noise = np.random.default_rng(3).standard_normal(SECONDS * SAMPLE_RATE).astype(np.float32) / 10
    print(
        f"{gate.version}. Milliseconds for each second of audio of one channel, median of {ROUNDS}: wall clock, CPU.\n"
    )
    print("| frames of | inline | to_thread | to_thread adds, for each frame |\n| --- | --- | --- | --- |")
    for length in FRAME_MS:
        size = length * SAMPLE_RATE // 1000
        frames = [noise[start : start + size] for start in range(0, len(noise), size)]
        spent: dict[Way, list[tuple[float, float]]] = {inline: [], in_thread: []}
        for _ in range(ROUNDS):
            for way, runs in spent.items():
                runs.append(await spend(gate, way, frames))
        cells, cpus = [], []
        for runs in spent.values():
            wall, cpu = (statistics.median(figures) for figures in zip(*runs, strict=True))
            cells.append(f"{wall:.1f}, {cpu:.1f}")
            cpus.append(cpu)
        print(f"| {length} ms | {' | '.join(cells)} | {(cpus[1] - cpus[0]) * length:.0f} us of CPU |")


if __name__ == "__main__":
    asyncio.run(main())
