"""What happens beyond capacity: sessions join one by one until the server refuses them; then all but one leave.

    python benchmarks/live/overload.py [--every 2] [--most 60] [--hold 30] > benchmarks/reports/live-overload.md

Each session sends the bundled recording in real time, over and over, to `speechlane serve` in a process of its own.
Lag of a final: its arrival minus the moment at which the frame that holds its end was sent. A refused client tries
again after the time that it was told.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import tempfile
from dataclasses import dataclass, field

import numpy as np
from material import bundled_clips
from players import FRAME_BYTES, FRAME_S, cut
from programs import machine, machine_line, printed_ready, running, speechlane_serve, table
from websockets.asyncio.client import ClientConnection, connect

START = {"type": "session.start", "audio": {"encoding": "pcm_s16le", "sample_rate": 16_000, "channels": 1}}


@dataclass
class Seen:
    """What all clients saw: moments on the event loop's clock."""

    inside: int = 0
    finals: list[tuple[float, float]] = field(default_factory=list)
    refused: list[tuple[float, str, int]] = field(default_factory=list)
    steps: list[tuple[float, str, str, int]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


async def speak(url: str, frames: list[bytes], seen: Seen, leave: asyncio.Event, *, told: bool) -> None:
    """One client: joins, trying again when refused, and speaks until it is to leave. ``told``: notes the ladder."""
    clock = asyncio.get_running_loop().time
    while not leave.is_set():
        async with connect(f"{url.replace('http', 'ws', 1)}/v1/live", compression=None) as connection:
            await connection.send(json.dumps(START | {"language": "en"}))
            first = json.loads(await connection.recv())
            if first["type"] == "error":
                seen.refused.append((clock(), first["code"], first["retry_after_ms"]))
                wait_s = first["retry_after_ms"] / 1000
            else:
                seen.inside += 1
                sent: list[float] = []
                reader = asyncio.create_task(listen(connection, seen, sent, told=told))
                begin = clock()
                for number, frame in enumerate(itertools.cycle(frames)):
                    await asyncio.sleep(max(0.0, begin + (number + 1) * FRAME_S - clock()))
                    if leave.is_set() or reader.done():
                        break
                    await connection.send(frame)
                    sent.append(clock())
                seen.inside -= 1
                if not reader.done():
                    await connection.send('{"type":"session.finish"}')
                await asyncio.wait([reader], timeout=60)
                if connection.close_code != 1000:
                    seen.broken.append(f"closed {connection.close_code}")
                return
        await asyncio.sleep(wait_s)


async def listen(connection: ClientConnection, seen: Seen, sent: list[float], *, told: bool) -> None:
    """Note each final's lag until the connection closes."""
    clock = asyncio.get_running_loop().time
    async for text in connection:
        message = json.loads(text)
        if message["type"] == "caption.final":
            frame = min(int(message["end_ms"] / 1000 / FRAME_S), len(sent) - 1)
            seen.finals.append((clock(), clock() - sent[frame]))
        elif message["type"].startswith("lane.") and told:
            seen.steps.append((clock(), message["type"], message["step"], message["lag_ms"]))


def row(phase: str, sessions: int, seen: Seen, since: float) -> list[object]:
    """Figures of what came since a moment."""
    lags = sorted(lag for at, lag in seen.finals if at >= since)
    p95 = round(lags[max(0, round(0.95 * len(lags)) - 1)], 2) if lags else None
    steps = [f"{kind.removeprefix('lane.')} {step} ({lag} ms)" for at, kind, step, lag in seen.steps if at >= since]
    refused = sum(at >= since for at, _, _ in seen.refused)
    p50 = round(statistics.median(lags), 2) if lags else None
    return [phase, sessions, len(lags), p50, p95, refused, "; ".join(steps) or "-"]


async def ramp(url: str, frames: list[bytes], options: argparse.Namespace) -> tuple[list[list[object]], Seen]:
    """All phases: joining, at capacity, and after all but one have left."""
    clock = asyncio.get_running_loop().time
    seen, leave, stay = Seen(), asyncio.Event(), asyncio.Event()
    rows, clients = [], []
    since = clock()
    for number in range(options.most):
        shift = (number * 37) % len(frames)  # not all say the same at once
        mine = frames[shift:] + frames[:shift]
        leaving = leave if number else stay
        clients.append(asyncio.create_task(speak(url, mine, seen, leaving, told=not number)))
        await asyncio.sleep(options.every)
        if (number + 1) % 4 == 0:
            rows.append(row("joining", seen.inside, seen, since))
            print(rows[-1], file=sys.stderr)
            since = clock()
    await asyncio.sleep(options.hold)
    rows.append(row("at capacity", seen.inside, seen, since))
    print(rows[-1], file=sys.stderr)
    leave.set()
    await asyncio.wait(clients[1:])
    since = clock()
    await asyncio.sleep(options.hold)
    rows.append(row("one left", seen.inside, seen, since))
    stay.set()
    await asyncio.wait(clients)
    for client in clients:
        client.result()
    return rows, seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=float, default=2, help="seconds between two sessions that join")
    parser.add_argument("--most", type=int, default=60, help="sessions that want to join")
    parser.add_argument("--hold", type=float, default=30, help="seconds at capacity, and after all but one have left")
    options = parser.parse_args()
    samples = np.concatenate([clip.samples for clip in bundled_clips()])
    frames = [
        frame for frame in cut((np.clip(samples, -1, 1) * 32_767).astype("<i2").tobytes()) if len(frame) == FRAME_BYTES
    ]

    async def run() -> tuple[list[list[object]], Seen]:
        with tempfile.TemporaryDirectory(prefix="speechlane-bench-") as data:
            command, environment = speechlane_serve(data)
            async with running(command, ready=printed_ready, environment=environment) as program:
                return await ramp(program.url, frames, options)

    rows, seen = asyncio.run(run())
    columns = [
        "phase",
        "sessions",
        "finals",
        "lag p50 s",
        "lag p95 s",
        "refused",
        "ladder, told the first",
    ]
    print("# Live captions beyond capacity", "", machine_line(machine("websockets", "uvicorn")), "", sep="\n")
    print(table(columns, rows))
    hints = sorted({(code, hint) for _, code, hint in seen.refused})
    print("", f"Refusals: {hints or 'none'}. Sessions cut off: {seen.broken or 'none'}.", sep="\n")


if __name__ == "__main__":
    main()
