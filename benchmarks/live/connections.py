"""A thousand connections sending 100 ms frames to one core of server: is anything lost, and what does a frame cost?

    python benchmarks/live/connections.py [--connections 1000] [--utterances 4] [--json FILE]

The server (`scripted_server.py`) hears a script, so that what a frame costs is the server's own work: sockets, door,
driver, core, log. It is pinned to one core, this client to another. A session's finals must say what the script says.
Beside it a bare echo of the same server stack, with the same frames: frames per second of server CPU time. Audio comes
in real time, or as fast as a server that is behind takes it. The client writes prebuilt frames to bare sockets and
looks at what came back only afterwards. One to five minutes; needs Linux and two cores.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import struct
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import uvloop
from programs import Program, load_now, machine, machine_line, printed_ready, running, table
from scripted_server import carrier, more_files, spoken

FRAME_BYTES = 3_200
FRAME_S = 0.1
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
ANSWERS = {PING: PONG, CLOSE: CLOSE}
BATCH = 50
CONNECT_S, LIMIT_S = 60.0, 240.0
START = json.dumps(
    {
        "type": "session.start",
        "audio": {"encoding": "pcm_s16le", "sample_rate": 16_000, "channels": 1},
        "language": "en",
    }
).encode()


def client_frame(opcode: int, payload: bytes) -> bytes:
    """A frame from a client (RFC 6455, section 5.2) with a mask of zeros, so that one frame serves all connections."""
    length = len(payload)
    size = bytes([0x80 | length]) if length < 126 else struct.pack("!BH", 0x80 | 126, length)
    return bytes([0x80 | opcode]) + size + bytes(4) + payload


def server_frame(data: bytes | bytearray, at: int) -> tuple[int, int, int] | None:
    """Opcode, start and end of the payload of the frame from a server that begins at ``at``; None: not all there."""
    if at + 4 > len(data):
        return None
    length, body = data[at + 1] & 0x7F, at + 2
    if length == 126:
        length, body = struct.unpack_from("!H", data, at + 2)[0], at + 4
    elif length == 127:
        if at + 10 > len(data):
            return None
        length, body = struct.unpack_from("!Q", data, at + 2)[0], at + 10
    return (data[at] & 0x0F, body, body + length) if body + length <= len(data) else None


class Connection(asyncio.Protocol):
    """One connection: keeps what comes, or only counts it up to ``expected`` bytes; knows if the server takes more."""

    def __init__(self, host: str, *, keep: bool, expected: int) -> None:
        self._host, self._keep, self._expected = host, keep, expected
        self._data = bytearray()
        self._frames: list[tuple[int, int, int]] = []
        self.received = 0
        self.sent = 0
        self.writable = True
        self.open = asyncio.get_running_loop().create_future()
        self.filled = asyncio.get_running_loop().create_future()
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.WriteTransport", transport)
        self.transport.write(
            f"GET /v1/live HTTP/1.1\r\nHost: {self._host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        if not self.open.done():
            self._data += data
            head, found, rest = bytes(self._data).partition(b"\r\n\r\n")
            if not found:
                return
            if b" 101 " not in head.partition(b"\r\n")[0]:
                self.open.set_exception(OSError(head[:80].decode(errors="replace")))
                return
            self.open.set_result(None)
            self._data.clear()
            data = rest
        self.received += len(data)
        if self.received >= self._expected and not self.filled.done():
            self.filled.set_result(None)
        self._data += data
        at = self._frames[-1][2] if self._frames else 0
        while frame := server_frame(self._data, at):
            opcode, start, at = frame
            if opcode in ANSWERS:
                self.transport.write(client_frame(ANSWERS[opcode], bytes(self._data[start:at])))
            if self._keep:
                self._frames.append(frame)
        if not self._keep:
            del self._data[:at]

    def connection_lost(self, error: Exception | None) -> None:
        if not self.open.done():
            self.open.set_exception(error or OSError("closed"))
        if not self.closed.done():
            self.closed.set_result(None)
        if not self.filled.done():
            self.filled.set_result(None)

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True

    def outcome(self) -> tuple[str, int | str | None]:
        """The text of all finals, and the close code, or what an error said."""
        text: list[str] = []
        code: int | str | None = None
        for opcode, start, end in self._frames:
            payload = bytes(self._data[start:end])
            if opcode == TEXT and payload.startswith(b'{"type":"caption.final"'):
                text.append(json.loads(payload)["text"].strip())
            elif opcode == TEXT and payload.startswith(b'{"type":"error"'):
                code = json.loads(payload)["message"]
            elif opcode == CLOSE and code is None:
                code = struct.unpack("!H", payload[:2])[0]
        return " ".join(text), code


@dataclass(frozen=True)
class Outcome:
    """One server under load. ``seconds``: from the first frame to the last close; ``pace``: 1 is real time."""

    server: str
    connections: int
    frames: int
    seconds: float
    pace: float
    cpu_s: float
    frames_per_core_s: float
    lost: int
    memory_mib: float | None
    load: float | None


async def connect_all(count: int, host: str, port: int, *, keep: bool, expected: int) -> list[Connection]:
    """Open the connections, some at a time."""
    loop = asyncio.get_running_loop()
    opened: list[Connection] = []
    for first in range(0, count, BATCH):
        made = await asyncio.gather(
            *(
                loop.create_connection(lambda: Connection(f"{host}:{port}", keep=keep, expected=expected), host, port)
                for _ in range(first, min(first + BATCH, count))
            )
        )
        opened += [connection for _, connection in made]
        await asyncio.gather(*(connection.open for _, connection in made))
    return opened


async def send_all(connections: Sequence[Connection], frames: Sequence[bytes]) -> None:
    """Frames in real time, each connection a little after the one before; one that is held back sends later."""
    clock = asyncio.get_running_loop().time
    begin = clock()
    starts = [begin + FRAME_S * number / len(connections) for number in range(len(connections))]
    waiting = list(zip(connections, starts, strict=True))
    while waiting:
        now = clock()
        for connection, start in waiting:
            due = start + connection.sent * FRAME_S
            if due <= now and connection.writable and connection.sent < len(frames):
                connection.transport.write(frames[connection.sent])
                connection.sent += 1
        waiting = [item for item in waiting if item[0].sent < len(frames) and not item[0].closed.done()]
        await asyncio.sleep(0.005)


async def load(program: Program, name: str, count: int, frames: Sequence[bytes], expected: str | None) -> Outcome:
    """Put one server under load; ``expected``: what each session's finals must say, None for the echo."""
    host, _, port = program.url.removeprefix("http://").rpartition(":")
    before_load = load_now()
    async with asyncio.timeout(CONNECT_S):
        connections = await connect_all(
            count, host, int(port), keep=expected is not None, expected=echo_bytes(len(frames))
        )
    clock = asyncio.get_running_loop().time
    if expected is not None:
        for connection in connections:
            connection.transport.write(client_frame(TEXT, START))
    gc.disable()  # nothing here is garbage before the end
    began, cpu = clock(), program.cpu_seconds() or 0.0
    try:
        async with asyncio.timeout(LIMIT_S):
            await send_all(connections, frames)
            if expected is not None:
                for connection in connections:
                    connection.transport.write(client_frame(TEXT, b'{"type":"session.finish"}'))
                await asyncio.gather(*(connection.closed for connection in connections))
            else:
                await asyncio.gather(*(connection.filled for connection in connections))
    except TimeoutError:
        print(f"{name}: not done after {LIMIT_S:.0f} s", file=sys.stderr)
    seconds, spent, memory = clock() - began, (program.cpu_seconds() or 0.0) - cpu, program.memory_mib()
    gc.enable()
    if expected is not None:
        wrong = [found for connection in connections if (found := connection.outcome()) != (expected, 1000)]
        lost = len(wrong)
        for text, end in wrong[:3]:
            print(f"{name}: {end}, finals {text!r}\n{program.log_tail()}", file=sys.stderr)
    else:
        lost = sum(connection.received < echo_bytes(len(frames)) for connection in connections)
    for connection in connections:
        connection.transport.abort()
    sent = sum(connection.sent for connection in connections)
    return Outcome(
        name, count, sent, seconds, len(frames) * FRAME_S / seconds, spent, sent / spent, lost, memory, before_load
    )


def echo_bytes(frames: int) -> int:
    """What a connection gets back for so many frames: each with a header of four bytes and no mask."""
    return frames * (FRAME_BYTES + 4)


async def measure(options: argparse.Namespace, cores: Sequence[int]) -> list[Outcome]:
    """The echo, then the live lane with session logs."""
    pcm = carrier(options.utterances)
    pcm += bytes(-len(pcm) % FRAME_BYTES)
    frames = [client_frame(BINARY, pcm[start : start + FRAME_BYTES]) for start in range(0, len(pcm), FRAME_BYTES)]
    server: list[str | Path] = [sys.executable, Path(__file__).with_name("scripted_server.py"), "--core", str(cores[0])]
    outcomes = []
    async with running([*server, "--echo"], ready=printed_ready) as program:
        outcomes.append(await load(program, "bare echo", options.connections, frames, None))
    with tempfile.TemporaryDirectory(prefix="speechlane-bench-") as data:
        async with running([*server, "--data", data], ready=printed_ready) as program:
            expected = spoken(options.utterances)
            outcomes.append(await load(program, "live lane", options.connections, frames, expected))
    return outcomes


def report(outcomes: Sequence[Outcome], facts: dict[str, Any]) -> str:
    echo = outcomes[0].frames_per_core_s
    rows = [
        [
            one.server,
            one.connections,
            one.frames,
            f"{one.seconds:.1f}",
            f"{one.pace:.2f}",
            f"{one.cpu_s:.1f}",
            f"{one.frames_per_core_s:.0f}",
            f"{one.frames_per_core_s / echo:.2f}",
            one.lost,
            None if one.memory_mib is None else round(one.memory_mib),
            one.load,
        ]
        for one in outcomes
    ]
    columns = (
        "server", "connections", "frames of 100 ms", "seconds", "times real time", "server CPU s",
        "frames per s per core", "of the echo", "sessions that lost anything", "MiB", "load",
    )  # fmt: skip
    return f"# Many connections on one core\n\n{machine_line(facts)}\n\n{table(columns, rows)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=1_000)
    parser.add_argument("--utterances", type=int, default=4, help="of 2.95 s, in each session")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        parser.error("needs two cores: one for the server, one for the client")
    facts = machine("uvicorn", "websockets", "uvloop", "starlette")
    os.sched_setaffinity(0, {cores[-1]})
    more_files()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcomes = runner.run(measure(options, cores))
    print(report(outcomes, facts))
    if options.json:
        fields = {"machine": facts, "outcomes": [asdict(one) for one in outcomes]}
        options.json.write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
