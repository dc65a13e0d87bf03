"""How many CPU threads should the model have? Decode times on an idle and on a busy machine.

    python benchmarks/engine/threads.py --model FOLDER > report

A live server is seldom alone on its machine. OpenMP's threads spin while they wait for each other, so that one
descheduled thread holds all of them up. Each setting is measured in a process of its own (OpenMP reads its variables
once), alone and beside one process that keeps a core busy; settings take turns, so that they share what else the
machine is doing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from speechlane.engine import DecodeOptions, DecodeRequest
from speechlane.local.whisper import WhisperDecoder

REPOSITORY = Path(__file__).resolve().parents[2]
CLIP = REPOSITORY / "src" / "speechlane" / "samples" / "jfk.wav"
BATCHES = (1, 4)
RUNS = 4
ROUNDS = 2
BUSY_SECONDS = 60

# What libgomp does when neither variable is set, and what Speechlane sets before it loads the library.
SPINNING = {"OMP_WAIT_POLICY": None, "GOMP_SPINCOUNT": "300000", "OMP_PROC_BIND": None}
SLEEPING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": None, "OMP_PROC_BIND": None}
SETTINGS = {
    "threads 1": (1, SLEEPING),
    "threads 2, waiting threads spin": (2, SPINNING),
    "threads 2, waiting threads sleep": (2, SLEEPING),
    "threads 0, waiting threads sleep (default)": (0, SLEEPING),
    "threads 2 bound to cores, spin": (2, SPINNING | {"OMP_PROC_BIND": "true"}),
    "threads 2 bound to cores, sleep": (2, SLEEPING | {"OMP_PROC_BIND": "true"}),
}


def measure(model: Path, threads: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds of wall clock and of CPU that decodes took, by batch size; runs in the process of one setting."""
    with wave.open(str(CLIP)) as clip:
        samples = np.frombuffer(clip.readframes(clip.getnframes()), "<i2").astype(np.float32) / 32768
    decoder = WhisperDecoder(model, model=model.parent.name, revision=None, digest=None, threads=threads)
    request = DecodeRequest(samples, 15 * 16_000, "en", options=DecodeOptions(max_tokens=100))
    decoder.decode_batch([request])
    spent: dict[str, list[tuple[float, float]]] = {}
    for size in BATCHES:
        for _ in range(RUNS):
            wall, cpu = time.perf_counter(), time.process_time()
            decoder.decode_batch([request] * size)
            spent.setdefault(str(size), []).append((time.perf_counter() - wall, time.process_time() - cpu))
    return spent


@contextmanager
def neighbour(busy: bool) -> Iterator[None]:
    """Another process that keeps a core busy, while the block lasts and never longer than a minute."""
    if not busy:
        yield
        return
    code = f"import time\nend = time.monotonic() + {BUSY_SECONDS}\nwhile time.monotonic() < end: pass"
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def in_own_process(model: Path, threads: int, variables: dict[str, str | None]) -> dict[str, list[list[float]]]:
    """`measure` in a process with these variables (None: not set)."""
    environment = {name: value for name, value in os.environ.items() if name not in variables}
    environment |= {name: value for name, value in variables.items() if value is not None}
    command = [sys.executable, __file__, "--model", str(model), "--one", str(threads)]
    answer = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(answer.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="folder with a CTranslate2 Whisper model")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        print(json.dumps(measure(arguments.model, arguments.one)))
        return
    tallies: dict[tuple[str, bool, str], list[list[float]]] = {}
    for _ in range(ROUNDS):
        for busy in (False, True):
            for name, (threads, variables) in SETTINGS.items():
                with neighbour(busy):
                    spent = in_own_process(arguments.model, threads, variables)
                for size, runs in spent.items():
                    tallies.setdefault((name, busy, size), []).extend(runs)
    print(f"{arguments.model.parent.name} int8, an 11 s clip padded to 15 s, {os.cpu_count()} cores", end=" ")
    print(
        f"({platform.machine()}); load before the end {os.getloadavg()[0]:.1f}. Seconds: median / worst of wall, CPU.\n"
    )
    print(
        "| setting | " + " | ".join(f"batch {size}, {where}" for size in BATCHES for where in ("idle", "busy")) + " |"
    )
    print("| --- " * (1 + 2 * len(BATCHES)) + "|")
    for name in SETTINGS:
        cells = []
        for size in BATCHES:
            for busy in (False, True):
                runs = tallies[name, busy, str(size)]
                walls, cpus = zip(*runs, strict=True)
                cells.append(f"{statistics.median(walls):.2f} / {max(walls):.2f}, {statistics.median(cpus):.2f}")
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
