"""How many live sessions does a server hold? Ours beside WhisperLiveKit and WhisperLive: same clips, weights, machine.

    python benchmarks/live/peers_setup.py FOLDER        once
    python benchmarks/live/peers.py --peers FOLDER [--json FILE] > benchmarks/reports/live-peers.md

A server holds N sessions when all of them are served, the 95th percentile of settled lag is at most 15 s (generous,
for the peers' sake) and the error rate lies within 2 points of its own with one session. All sessions play the same
clips, each begun with another one, so that error rates compare. Sessions double until one level is not held; then the
count half-way is tried. Some forty minutes.

Peers run as their documentation says: WhisperLiveKit with its LocalAgreement policy, WhisperLive with one shared model,
and once more with its batched mode.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from figures import COLUMNS, Level, level, row
from latency import MAX_SESSIONS
from material import OfflineRun, Stream, corpus_folder, join, read_clips, rotated, take
from peer_players import play_whisperlive, play_whisperlivekit
from peers_setup import home, python
from players import Player, play_all, play_speechlane
from programs import (
    Program,
    free_port,
    listening,
    load_now,
    machine,
    machine_line,
    printed_ready,
    running,
    speechlane_serve,
    table,
)

from speechlane.settings import load_settings

LAG_S, POINTS = 15.0, 2.0
WARM_UP_BYTES = 4 * 32_000
WHISPERLIVE = """
import sys
from whisper_live.server import TranscriptionServer
TranscriptionServer().run(
    "127.0.0.1", port=int(sys.argv[1]), backend="faster_whisper", faster_whisper_custom_model_path=sys.argv[2],
    single_model=True, max_clients=1000, max_connection_time=600, batch_enabled=sys.argv[3] == "batched",
)
"""


@dataclass(frozen=True)
class Server:
    """A server under test: how it is started, and how a session with it is played."""

    name: str
    start: Callable[[], AbstractAsyncContextManager[Program]]
    player: Player


def servers(folder: Path, weights: Path) -> list[Server]:
    """Ours and the peers, each on the same weights."""
    environment = {"HF_HUB_OFFLINE": "1", "HOME": str(home(folder)), "PYTHONPATH": ""}

    @asynccontextmanager
    async def ours() -> AsyncIterator[Program]:
        with tempfile.TemporaryDirectory(prefix="speechlane-bench-") as data:
            command, variables = speechlane_serve(data, max_sessions=MAX_SESSIONS)
            async with running(command, ready=printed_ready, environment=variables) as program:
                yield program

    def whisperlivekit() -> AbstractAsyncContextManager[Program]:
        port = free_port()
        command = [
            python(folder, "whisperlivekit").with_name("wlk"), "serve", "--backend", "faster-whisper",
            "--backend-policy", "localagreement", "--model_dir", weights, "--lan", "en", "--pcm-input",
            "--host", "127.0.0.1", "--port", str(port), "--warmup-file", "",
        ]  # fmt: skip
        return running(command, ready=listening(port), environment=environment)

    def whisperlive(mode: str) -> Callable[[], AbstractAsyncContextManager[Program]]:
        def start() -> AbstractAsyncContextManager[Program]:
            port = free_port()
            command = [python(folder, "whisperlive"), "-c", WHISPERLIVE, str(port), weights, mode]
            return running(command, ready=listening(port), environment=environment)

        return start

    return [
        Server("Speechlane", ours, play_speechlane),
        Server("WhisperLiveKit 0.2.26", whisperlivekit, play_whisperlivekit),
        Server("WhisperLive 0.10.0", whisperlive("serial"), play_whisperlive),
        Server("WhisperLive 0.10.0, batched", whisperlive("batched"), play_whisperlive),
    ]


async def try_level(server: Server, streams: Sequence[Stream], count: int) -> Level:
    """So many sessions on a freshly started server: what an overload left behind is no part of the next level."""
    chosen = [streams[number % len(streams)] for number in range(count)]
    async with server.start() as program:
        # A server may load its model at the first session, which is none of those that are measured.
        await server.player(program.url, replace(streams[0], pcm=streams[0].pcm[:WARM_UP_BYTES], reference=()), 0.0)
        load, before = load_now(), program.cpu_seconds() or 0.0
        played = await play_all(server.player, program.url, chosen)
        spent = (program.cpu_seconds() or 0.0) - before
        found = level(chosen, played, cpu_s=spent, memory_mib=program.memory_mib(), load=load)
        if found.problems:
            print(f"{server.name}: {found.problems[:3]}\n{program.log_tail()}", file=sys.stderr)
    print(f"{server.name}, {count}: p95 {found.settled.p95} s, WER {found.wer}", file=sys.stderr)
    return found


def holds(found: Level, alone: Level) -> bool:
    """Whether the server held this level, by its own error rate with one session."""
    if found.whole < found.sessions or found.settled.p95 is None or found.wer is None or alone.wer is None:
        return False
    return found.settled.p95 <= LAG_S and 100 * (found.wer - alone.wer) <= POINTS


async def climb(server: Server, streams: Sequence[Stream], most: int) -> dict[int, Level]:
    """Levels by their number of sessions: doubled until one is not held, then the one half-way."""
    levels = {1: await try_level(server, streams, 1)}
    count = 1
    while holds(levels[count], levels[1]) and count < most:
        count = min(2 * count, most)
        levels[count] = await try_level(server, streams, count)
    half = count * 3 // 4
    if count > 2 and not holds(levels[count], levels[1]):
        levels[half] = await try_level(server, streams, half)
    return levels


def report(results: dict[str, dict[int, Level]], facts: dict[str, Any], stream: Stream) -> str:
    most = {
        name: max((count for count, one in levels.items() if holds(one, levels[1])), default=0)
        for name, levels in results.items()
    }
    rows = [
        [name, *row(str(count), one), "yes" if holds(one, levels[1]) else "no"]
        for name, levels in results.items()
        for count, one in sorted(levels.items())
    ]
    return "\n".join(
        [
            f"# Sessions that a live server holds ({facts['model']}, {facts['device']})",
            "",
            machine_line(facts),
            f"{len(stream.clips)} clips, {stream.seconds:.0f} s with their pauses.",
            f"Held: settled p95 within {LAG_S:.0f} s, WER within {POINTS:.0f} points of the server's own with one",
            "session, every session served to its end.",
            "",
            table(("server", "most sessions held"), most.items()),
            "",
            table(("server", *COLUMNS, "held"), rows),
        ]
    )


async def run(chosen: Sequence[Server], streams: Sequence[Stream], most: int) -> dict[str, dict[int, Level]]:
    return {server.name: await climb(server, streams, most) for server in chosen}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, required=True, help="where peers_setup.py installed them")
    parser.add_argument("--corpus", type=Path)
    parser.add_argument(
        "--seconds", type=float, default=50, help="of clips; a short run hides a server that falls behind"
    )
    parser.add_argument("--most", type=int, default=64, help="sessions at most")
    parser.add_argument("--only", nargs="*", default=[], help="servers whose names contain one of these")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    settings = load_settings()
    offline = OfflineRun(settings)
    clips = take(read_clips(corpus_folder(options.corpus), learners=False), options.seconds)
    streams = [join(rotated(clips, by), offline, seed=by) for by in range(len(clips))]
    offline.close()
    known = servers(options.peers.absolute(), offline.folder.path)
    chosen = [one for one in known if not options.only or any(name in one.name for name in options.only)]
    facts = {**machine(), "model": settings.model, "device": settings.device}
    results = asyncio.run(run(chosen, streams, options.most))
    print(report(results, facts, streams[0]))
    if options.json:
        fields = {name: {count: one.as_fields() for count, one in levels.items()} for name, levels in results.items()}
        options.json.write_text(json.dumps({"machine": facts, "servers": fields}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
