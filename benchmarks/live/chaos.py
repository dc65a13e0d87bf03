"""Two hundred sessions with lost connections, slow readers, junk and a killed server: are the guarantees kept?

    python benchmarks/live/chaos.py [--sessions 200] [--seed 1] [--json FILE]

Clients written on bare WebSockets from the protocol's text alone stream a script in real time and, at moments that the
seed fixes, cut the connection, close it, read nothing for seconds, flush, ping, or send junk. Once, half-way, the
server process is killed (SIGKILL) and started again on the same port and data. Clients keep only the audio from the
last `replay_from_bytes` on and resume with `after_seq`. What each received is then checked by guarantees.py; finals
must say what the script says. Some sessions send silence. Under three minutes; exit code 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from guarantees import Connection, Trace, check
from programs import free_port, machine, machine_line, printed_ready, running, table
from scripted_server import GROUP, LEAD, PAUSE, WORDS, carrier, more_files, spoken
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

UTTERANCES = 5
BYTES_PER_S = 32_000
AUDIO = {"encoding": "pcm_s16le", "sample_rate": 16_000, "channels": 1}
LIMIT_S = 170.0
STUCK_S = 30.0
"""Seconds without an answer at the end of a session after which a client resumes once more."""

RESTART_AT_S = 12.0
FAULTS = ("cut", "cut", "close", "slow", "flush", "ping")
JUNK = ("{", '{"type":"what"}', '{"type":"session.start"}', '{"type":"audio.flush","id":7,"now":true}', "[]", '"ping"')
FIRST_JUNK: tuple[str | bytes, ...] = (
    b"\x00" * 100,
    "",
    "{}",
    '{"type":"session.start","audio":{"encoding":"pcm_s16le","sample_rate":1,"channels":1}}',
    '{"type":"session.resume","session":"ses_none","resume_token":"none","after_seq":0}',
    '{"type":"session.finish"}',
)


@dataclass
class Speaker:
    """One client: what it says, what will go wrong, and what it saw."""

    number: int
    url: str
    audio: bytes
    chance: random.Random
    junk: bool
    trace: Trace
    faults: list[tuple[int, str]] = field(default_factory=list)
    session: str = ""
    token: str = ""
    last_seq: int = 0
    kept_from: int = 0
    position: int = 0
    flushes: set[str] = field(default_factory=set)
    over: str | None = None
    slow_until: float = 0.0

    def __post_init__(self) -> None:
        kinds = [self.chance.choice(FAULTS) for _ in range(self.chance.randrange(1, 5))]
        self.faults = sorted((self._moment(kind), kind) for kind in kinds)
        if self.junk:
            self.faults = [*self.faults[:1], (self.chance.randrange(len(self.audio)), "junk")]

    def _moment(self, kind: str) -> int:
        """Anywhere in the audio; a flush, which settles what is heard, half a word included, in a pause."""
        if kind != "flush":
            return self.chance.randrange(len(self.audio))
        return 2 * (LEAD + GROUP * self.chance.randrange(1, UTTERANCES) - PAUSE // 2)

    async def run(self) -> None:
        """Connect and resume until the session has ended."""
        while self.over is None:
            try:
                async with connect(
                    self.url, compression=None, max_size=1 << 24, max_queue=4, close_timeout=1, ping_interval=None
                ) as connection:
                    await self._talk(connection)
            except (OSError, InvalidHandshake, InvalidMessage, EOFError, TimeoutError):
                await asyncio.sleep(self.chance.uniform(0.1, 0.5))  # the server is away

    async def _talk(self, connection: ClientConnection) -> None:
        """One connection: start or resume, then speak and listen until it ends."""
        resuming = bool(self.session)
        self.flushes.clear()  # what was asked on a lost connection may never have arrived
        kept = Connection(self.last_seq if resuming else None, self.kept_from)
        self.trace.connections.append(kept)
        if resuming:
            start = {"type": "session.resume", "session": self.session, "resume_token": self.token}
            await connection.send(json.dumps({**start, "after_seq": self.last_seq}))
        else:
            start = {"type": "session.start", "audio": AUDIO, "language": "en"}
            await connection.send(json.dumps(start))
        listener = asyncio.create_task(self._listen(connection, kept))
        try:
            with contextlib.suppress(ConnectionClosed):
                await self._speak(connection, kept, listener)
            if connection.close_code is not None:
                await asyncio.wait([listener], timeout=STUCK_S)  # what came before the close is still to be read
        finally:
            connection.transport.abort()
            await asyncio.gather(listener, return_exceptions=True)
            # 1001 is this client's own going away, 1006 stands for no close frame at all.
            kept.close_code = None if connection.close_code in {1001, 1006} else connection.close_code
            self._judge(kept)

    def _judge(self, kept: Connection) -> None:
        """Whether the session is over, by how this connection ended."""
        code = kept.close_code
        if self.trace.finished or (code is not None and code not in {1011, 1012, 4409, 4429}):
            self.over = f"closed {code}"
        elif code == 1011:
            self.over = f"server fault: {[message for message in kept.messages if message['type'] == 'error']}"

    async def _listen(self, connection: ClientConnection, kept: Connection) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(max(0.0, self.slow_until - clock()))
            message: dict[str, Any] = json.loads(await connection.recv())
            kept.messages.append(message)
            self.last_seq = max(self.last_seq, message.get("seq", 0))
            match message["type"]:
                case "session.started":
                    self.session, self.token = message["session"], message["resume_token"]
                case "session.resumed":
                    if message["replay_from_bytes"] < self.kept_from:
                        self.over = f"3: asked for byte {message['replay_from_bytes']}, which it had called safe"
                    self.position = self.kept_from = message["replay_from_bytes"]
                case "audio.ack":
                    self.kept_from = max(self.kept_from, message["replay_from_bytes"])
                case "audio.flushed":
                    self.flushes.discard(message["id"])

    async def _speak(self, connection: ClientConnection, kept: Connection, listener: asyncio.Task[None]) -> None:
        clock = asyncio.get_running_loop().time
        while not kept.messages and not listener.done():
            await asyncio.wait([listener], timeout=0.02)
        if listener.done() or kept.messages[0]["type"] not in {"session.started", "session.resumed"}:
            await asyncio.wait([listener], timeout=5)
            return
        begin, from_byte = clock(), self.position
        while self.position < len(self.audio):
            frame = self.audio[self.position : self.position + self.chance.randrange(640, 6_400)]
            due = begin + (self.position + len(frame) - from_byte) / BYTES_PER_S
            await asyncio.sleep(max(0.0, due - clock()))
            await connection.send(frame)
            self.position += len(frame)
            self.trace.sent_bytes = max(self.trace.sent_bytes, self.position)
            if self.faults and self.position > self.faults[0][0] and await self._fail(connection):
                return
        await connection.send('{"type":"session.finish"}')
        await asyncio.wait([listener], timeout=STUCK_S)

    async def _fail(self, connection: ClientConnection) -> bool:
        """Do what was planned for this moment; whether the connection is over."""
        _, fault = self.faults.pop(0)
        match fault:
            case "cut":
                connection.transport.abort()
                return True
            case "close":
                await connection.close(1001)
                return True
            case "slow":
                self.slow_until = asyncio.get_running_loop().time() + self.chance.uniform(1, 4)
            case "flush":
                name = f"f{self.position}"
                self.flushes.add(name)
                await connection.send(json.dumps({"type": "audio.flush", "id": name}))
            case "ping":
                await connection.send('{"type":"ping","id":"p"}')
            case "junk":
                await connection.send(self.chance.choice(JUNK))
        return False


async def vandal(url: str, first: str | bytes) -> str | None:
    """A connection that begins with junk must be told so and closed; returns what went wrong."""
    try:
        async with connect(url, compression=None) as connection:
            await connection.send(first)
            messages = []
            with contextlib.suppress(ConnectionClosed):
                async with asyncio.timeout(20):
                    while True:
                        messages.append(json.loads(await connection.recv()))
            if connection.close_code not in {4400, 4404} or not messages or messages[-1]["type"] != "error":
                return f"junk {first[:40]!r} was answered with {messages} and {connection.close_code}"
    except (OSError, InvalidHandshake, EOFError):
        return None  # the server was away, being killed
    except TimeoutError:
        return f"junk {first[:40]!r} was never answered"
    return None


def broken_promises(speaker: Speaker) -> list[str]:
    """What the session's trace breaks, and what it should have said and did not."""
    broken = check(speaker.trace)
    name, text = speaker.trace.name, speaker.trace.text
    if speaker.over is None or not speaker.over.startswith("closed"):
        broken.append(f"{name}: {speaker.over or 'never ended'} (at byte {speaker.position} of {len(speaker.audio)})")
    elif speaker.trace.silent:
        if text:
            broken.append(f"{name}: 6: silence gave {text!r}")
    elif speaker.junk and not speaker.trace.finished:
        # Junk ends the session amid a word: the two words before may read as they did without what follows.
        if text.split()[:-2] != spoken(UTTERANCES).split()[: max(0, len(text.split()) - 2)]:
            broken.append(f"{name}: 3: before the junk it said {text!r}")
    elif text != spoken(UTTERANCES):
        broken.append(f"{name}: 3: it said {text!r}")
    if speaker.flushes and speaker.trace.finished:
        broken.append(f"{name}: flushes {sorted(speaker.flushes)} were never answered")
    return broken


def make_speakers(count: int, seed: int, url: str) -> list[Speaker]:
    """Clients of all kinds: one in twenty silent, one in ten with junk amid its audio."""
    said, nothing = carrier(UTTERANCES), bytes(10 * BYTES_PER_S)
    return [
        Speaker(
            number=number,
            url=url,
            audio=nothing if number % 20 == 7 else said,
            chance=random.Random(f"{seed}-{number}"),
            junk=number % 10 == 3,
            trace=Trace(f"session {number}", silent=number % 20 == 7),
        )
        for number in range(count)
    ]


async def storm(options: argparse.Namespace) -> tuple[list[Speaker], list[str], dict[str, Any]]:
    """All clients, the vandals among them, over two lives of the server."""
    port, clock = free_port(), asyncio.get_running_loop().time
    with tempfile.TemporaryDirectory(prefix="speechlane-bench-") as data:
        server = [
            sys.executable, Path(__file__).with_name("scripted_server.py"), "--port", str(port), "--data", data,
            "--database", "--resume-window-s", "120",
        ]  # fmt: skip
        url = f"ws://127.0.0.1:{port}/v1/live"
        speakers = make_speakers(options.sessions, options.seed, url)
        began, chance = clock(), random.Random(options.seed)

        async def later(speaker: Speaker) -> None:
            await asyncio.sleep(chance.uniform(0, 8))
            await speaker.run()

        async def throw() -> list[str | None]:
            found = []
            for first in FIRST_JUNK * max(1, options.sessions // 40):
                await asyncio.sleep(0.5)
                found.append(await vandal(url, first))
            return found

        async with running(server, ready=printed_ready) as first_life:
            tasks = [asyncio.create_task(later(speaker)) for speaker in speakers]
            vandals = asyncio.create_task(throw())
            await asyncio.sleep(RESTART_AT_S)
            await first_life.kill()
        async with running(server, ready=printed_ready) as second_life:
            back = clock()
            await asyncio.wait(tasks, timeout=max(1.0, LIMIT_S - (clock() - began)))
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            wrong = [f"client: {error!r}" for error in results if isinstance(error, Exception)]
            wrong += [found for found in await vandals if found]
            facts = {
                "seconds": clock() - began,
                "memory_mib": second_life.memory_mib(),
                "after_restart_s": clock() - back,
            }
            if wrong or any(broken_promises(speaker) for speaker in speakers):
                print(second_life.log_tail(20), file=sys.stderr)
    return speakers, wrong, facts


def report(speakers: list[Speaker], wrong: list[str], facts: dict[str, Any], machine_facts: dict[str, Any]) -> str:
    broken = [promise for speaker in speakers for promise in broken_promises(speaker)] + wrong
    ends = Counter(speaker.over or "never ended" for speaker in speakers)
    connections = [connection for speaker in speakers for connection in speaker.trace.connections]
    rows = [
        ("sessions", len(speakers)),
        ("connections", len(connections)),
        ("resumes", sum(connection.after_seq is not None for connection in connections)),
        ("messages", sum(len(connection.messages) for connection in connections)),
        ("finals", sum(len(speaker.trace.finals()) for speaker in speakers)),
        ("words said", sum(len(speaker.trace.text.split()) for speaker in speakers)),
        ("words due", WORDS * UTTERANCES * sum(not speaker.trace.silent and not speaker.junk for speaker in speakers)),
        *((f"ended: {end}"[:80], count) for end, count in sorted(ends.items())),
        ("seconds", round(facts["seconds"])),
        ("promises broken", len(broken)),
    ]
    lines = [f"# Sessions in a storm\n\n{machine_line(machine_facts)}\n", table(("what", "count"), rows), ""]
    return "\n".join(lines + [f"- {promise}"[:300] for promise in broken[:40]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    more_files()
    machine_facts = machine("uvicorn", "websockets")
    speakers, wrong, facts = asyncio.run(storm(options))
    print(report(speakers, wrong, facts, machine_facts))
    broken = [promise for speaker in speakers for promise in broken_promises(speaker)] + wrong
    if options.json:
        fields = {"machine": machine_facts, "seed": options.seed, **facts, "broken": broken}
        options.json.write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
