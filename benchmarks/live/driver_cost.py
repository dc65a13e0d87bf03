"""What a frame of 100 ms costs between the socket and the engine: CPU time of one process, no sockets, scripted engine.

    python benchmarks/live/driver_cost.py [--sessions 50] [--seconds 60] [--resumable 1] [--profile]

Prints the microseconds a frame, and how many sessions in real time one core would carry at that.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from speechlane.audio.format import AudioFormat
from speechlane.engine.scripted import ScriptedEngine, ScriptedGate, ScriptedWord
from speechlane.engine.scripted_audio import scripted_samples
from speechlane.live.config import SessionConfig, SessionLimits
from speechlane.router import RouteRequest
from speechlane.runtime.live_driver import LiveDriver
from speechlane.runtime.live_hub import LiveHub, StartRequest
from speechlane.storage.memory import MemoryRegistry

FRAME_S = 0.1


def script(seconds: int) -> list[ScriptedWord]:
    """Sentences of six words of 0.3 s, a pause of 1 s behind each: speech two thirds of the time."""
    words, at = [], 8_000
    while at < seconds * 16_000:
        for _ in range(6):
            words.append(ScriptedWord(f" word{len(words)}", at, at + 4_800))
            at += 5_200
        at += 16_000
    return words


async def run(sessions: int, seconds: int, folder: Path, *, resumable: bool) -> float:
    """CPU seconds from the first frame to the last close, all sessions together."""
    words = script(seconds)
    hub = LiveHub(
        engines=[ScriptedEngine(words)],
        gate=ScriptedGate(words),
        registry=MemoryRegistry(),
        logs=folder,
        limits=SessionLimits(resume_window_ms=60_000 if resumable else 0),
        max_sessions=sessions,
    )
    config = SessionConfig(encoding="pcm_s16le", sample_rate=16_000, bytes_per_frame=2, language="en")
    start = StartRequest(AudioFormat("pcm_s16le", 16_000, 1), config, RouteRequest())
    drivers = [hub.open("default", start) for _ in range(sessions)]

    async def read(driver: LiveDriver) -> None:
        async for _ in driver.outgoing:
            pass

    readers = [asyncio.create_task(read(driver)) for driver in drivers]
    audio = (np.array(scripted_samples(0, seconds * 16_000)) * 32_767).astype("<i2").tobytes()
    size = round(FRAME_S * 32_000)
    frames = [audio[start : start + size] for start in range(0, len(audio), size)]
    await asyncio.sleep(0.1)
    began = time.process_time()
    for frame in frames:
        for driver in drivers:
            await driver.audio(frame)
        for _ in range(3):
            await asyncio.sleep(0)
    for driver in drivers:
        driver.finish()
    await asyncio.gather(*readers)
    spent = time.process_time() - began
    await hub.stop(1)
    return spent


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--resumable", type=int, default=1)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    profile = cProfile.Profile()
    with tempfile.TemporaryDirectory() as folder:
        if options.profile:
            profile.enable()
        spent = asyncio.run(run(options.sessions, options.seconds, Path(folder), resumable=bool(options.resumable)))
        profile.disable()
    frames = options.sessions * options.seconds / FRAME_S
    micros = spent / frames * 1e6
    sys.stdout.write(
        f"{options.sessions} sessions x {options.seconds} s: {micros:.0f} us of CPU a frame, "
        f"{FRAME_S / (micros / 1e6):.0f} sessions in real time on one core\n"
    )
    if options.profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(35)


if __name__ == "__main__":
    main()
