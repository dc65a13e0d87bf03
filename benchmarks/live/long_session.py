"""Eight hours of audio through one session, many times faster than real time: do lag and memory stay flat?

    python benchmarks/live/long_session.py [--hours 8] [--real-minutes 6] [--json FILE]

The session runs on the live hub, without sockets, with its log and records on disk. First the scripted engine and gate
hear a script; then, on a sample, the real engine and gate hear the bundled speech over and over. The sender stays at
most four seconds of audio ahead of what the server has acknowledged, and two ahead of what it has decoded, so time is
the audio's: the lag of a final is how much audio had been sent behind its end when it came. Every part of the session
must look like the first. Ten minutes or so for the script, and as long as the engine needs for the sample.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from figures import seconds
from material import bundled_clips
from programs import machine, machine_line, table
from scripted_server import GROUP, LEAD, script

from speechlane.audio import SAMPLE_RATE
from speechlane.engine import Engine, SpeechGateModel
from speechlane.engine.scripted import ScriptedEngine, ScriptedGate
from speechlane.engine.scripted_audio import scripted_samples
from speechlane.live.config import SessionLimits
from speechlane.local.dispatcher import EngineDispatcher
from speechlane.local.silero import SileroGate
from speechlane.local.weights import open_model
from speechlane.local.whisper import WhisperDecoder
from speechlane.runtime.live_driver import LiveDriver
from speechlane.runtime.live_hub import LiveHub
from speechlane.scoring import LagFigures, lag_figures
from speechlane.server.live_schema import read_start
from speechlane.settings import load_settings
from speechlane.storage.database import Database
from speechlane.storage.registry import SqlRegistry

FRAME_BYTES = 3_200
AHEAD_BYTES, BACKLOG = 4 * 32_000, 2 * SAMPLE_RATE
PARTS = 8
START = {
    "type": "session.start",
    "audio": {"encoding": "pcm_s16le", "sample_rate": SAMPLE_RATE, "channels": 1},
    "language": "en",
}


@dataclass(frozen=True)
class Part:
    """One stretch of the session: what it cost and how late its finals were."""

    audio_s: float
    wall_s: float
    cpu_s: float
    memory_mib: float
    allocated_mib: float
    finals: int
    lag: LagFigures


@dataclass
class Listener:
    """Reads the session's messages; ``sent`` is told by the sender."""

    sent: int = 0
    acknowledged: int = 0
    lags: list[float] = field(default_factory=list)
    words: int = 0
    wrong: list[str] = field(default_factory=list)
    finished: bool = False
    expected: Callable[[int], str] | None = None

    async def listen(self, driver: LiveDriver) -> None:
        async for text in driver.outgoing:
            message = json.loads(text)
            match message["type"]:
                case "audio.ack":
                    self.acknowledged = message["received_bytes"]
                case "caption.final":
                    self.lags.append(self.sent / 32_000 - message["end_ms"] / 1000)
                    for word in message["words"]:
                        due = self.expected(self.words) if self.expected is not None else word["text"]
                        if word["text"].strip() != due.strip():
                            self.wrong.append(f"{word['text']} where {due} was due")
                        self.words += 1
                case "session.finished":
                    self.finished = True
                case "error":
                    self.wrong.append(message["message"])

    async def room(self, driver: LiveDriver) -> None:
        """Return once the sender may send on: the server has taken in what was sent, and decoded most of it."""
        while not self.finished and not self.wrong:
            if self.sent - self.acknowledged <= AHEAD_BYTES and driver.session.backlog <= BACKLOG:
                return
            await asyncio.sleep(0.001)


def scripted_audio(groups: int) -> Iterator[bytes]:
    """The script's audio, made as it is sent."""
    yield _pcm(0, LEAD)
    for group in range(groups):
        yield _pcm(LEAD + group * GROUP, LEAD + (group + 1) * GROUP)


def _pcm(start: int, stop: int) -> bytes:
    samples = np.frombuffer(scripted_samples(start, stop), np.float32)
    return (samples * 32_767).round().astype("<i2").tobytes()


def real_audio(minutes: float) -> Iterator[bytes]:
    """The bundled speech over and over, a pause behind each clip."""
    pieces = [(clip.samples * 32_768).round().astype("<i2").tobytes() + bytes(48_000) for clip in bundled_clips()]
    left = minutes * 60 * 32_000
    while left > 0:
        for piece in pieces:
            yield piece
            left -= len(piece)


def frames(audio: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in frames of 100 ms."""
    rest = b""
    for piece in audio:
        rest += piece
        whole = len(rest) - len(rest) % FRAME_BYTES
        for start in range(0, whole, FRAME_BYTES):
            yield rest[start : start + FRAME_BYTES]
        rest = rest[whole:]
    if rest:
        yield rest


async def run(
    engine: Engine, gate: SpeechGateModel, audio: Iterator[bytes], part_s: float, expected: Callable[[int], str] | None
) -> tuple[list[Part], Listener]:
    """One session over all the audio; a part's figures are taken as soon as its audio was sent."""
    async with AsyncExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="speechlane-bench-")))
        database = await Database.open(str(data / "registry.sqlite"))
        stack.push_async_callback(database.aclose)
        hub = LiveHub(
            engines=[engine],
            gate=gate,
            registry=SqlRegistry(database),
            logs=data / "live",
            limits=SessionLimits(max_session_ms=7 * 86_400_000),
            max_sessions=1,
        )
        driver = hub.open("default", read_start(json.dumps(START)))
        listener = Listener(expected=expected)
        reading = asyncio.create_task(listener.listen(driver))
        parts: list[Part] = []
        began, cpu, counted = time.perf_counter(), time.process_time(), 0
        for frame in frames(audio):
            await listener.room(driver)
            if listener.finished or listener.wrong:
                break
            listener.sent += len(frame)
            await driver.audio(frame)
            if listener.sent >= (len(parts) + 1) * part_s * 32_000:
                now, spent = time.perf_counter(), time.process_time()
                parts.append(_part(listener.lags[counted:], part_s, now - began, spent - cpu))
                began, cpu, counted = time.perf_counter(), time.process_time(), len(listener.lags)
        driver.finish()
        await reading
        await hub.stop(5)
    return parts, listener


def _part(lags: list[float], audio_s: float, wall_s: float, cpu_s: float) -> Part:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    resident = pages * os.sysconf("SC_PAGESIZE") / (1 << 20)
    allocated = tracemalloc.get_traced_memory()[0] / (1 << 20)
    return Part(audio_s, wall_s, cpu_s, resident, allocated, len(lags), lag_figures(lags))


async def scripted(hours: float) -> tuple[list[Part], Listener]:
    groups = max(PARTS, int((hours * 3_600 * SAMPLE_RATE - LEAD) / GROUP))
    words = script(groups)
    part_s = groups * GROUP / SAMPLE_RATE / PARTS
    return await run(
        ScriptedEngine(words), ScriptedGate(words), scripted_audio(groups), part_s, lambda number: words[number].text
    )


async def real(minutes: float) -> tuple[list[Part], Listener]:
    settings = load_settings()
    folder = open_model(settings.model, settings.models)
    decoder = WhisperDecoder(
        folder.path, model=folder.pin.name, revision=folder.pin.revision, digest=folder.pin.digest,
        device=settings.device, compute_type=settings.compute_type,
    )  # fmt: skip
    engine = EngineDispatcher(decoder)
    try:
        return await run(engine, SileroGate(), real_audio(minutes), minutes * 60 / PARTS, None)
    finally:
        await engine.aclose()


COLUMNS = (
    "part", "audio, min", "times real time", "CPU s per audio hour", "resident MiB", "allocated MiB", "finals",
    "lag p50 / p95, s of audio",
)  # fmt: skip


def rows(parts: list[Part]) -> list[list[object]]:
    return [
        [
            number,
            f"{part.audio_s / 60:.1f}",
            f"{part.audio_s / part.wall_s:.0f}",
            f"{part.cpu_s / part.audio_s * 3600:.0f}",
            f"{part.memory_mib:.0f}",
            f"{part.allocated_mib:.1f}",
            part.finals,
            f"{seconds(part.lag.p50)} / {seconds(part.lag.p95)}",
        ]
        for number, part in enumerate(parts, start=1)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=8, help="of the script")
    parser.add_argument("--real-minutes", type=float, default=6, help="with the real engine; 0 leaves it out")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    facts = machine()
    tracemalloc.start()
    print(f"# A long session\n\n{machine_line(facts)}\n")
    found: dict[str, list[Part]] = {}
    for name, session in (("scripted", scripted(options.hours)), ("real", real(options.real_minutes))):
        if name == "real" and not options.real_minutes:
            session.close()
            continue
        parts, listener = asyncio.run(session)
        found[name] = parts
        print(f"## {name} engine: {listener.words} words, wrong {listener.wrong[:3] or 0}\n")
        print(table(COLUMNS, rows(parts)), "\n", flush=True)
    if options.json:
        fields = {name: [asdict(part) for part in parts] for name, parts in found.items()}
        options.json.write_text(json.dumps({"machine": facts, **fields}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
