"""How late are live captions, and how right, with 1, 8 and 16 sessions on one engine?

    python benchmarks/live/latency.py [--corpus FOLDER] [--learners] [--json FILE] > benchmarks/reports/live-latency.md

Sessions stream real clips in real time over WebSockets to `speechlane serve` in a process of its own. Lag of a word:
the moment it is first shown (in any text) or settled (in stable or final text), minus its end in the audio, from one
offline greedy run of the same model with the speech gate on; words matched by edit distance with that run's. Every
stream is first played alone: these are the one session's figures, and what the others may not fall short of. About
five minutes with the defaults.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from figures import COLUMNS, Level, level, row
from material import OfflineRun, Stream, corpus_folder, make_streams, read_clips
from players import Played, play_all, play_speechlane
from programs import Program, load_now, machine, machine_line, printed_ready, running, speechlane_serve, table

from speechlane.settings import load_settings

MAX_SESSIONS = 1_000
"""Of the server: what it refuses then is its own decision, not a count."""


async def measure(program: Program, streams: list[Stream]) -> tuple[list[Played], dict[str, Any]]:
    """Play the streams at once; what was seen, and what it cost the server."""
    load, before = load_now(), program.cpu_seconds()
    played = await play_all(play_speechlane, program.url, streams)
    after = program.cpu_seconds()
    cost = after - before if before is not None and after is not None else None
    return played, {"cpu_s": cost, "memory_mib": program.memory_mib(), "load": load}


async def levels(program: Program, streams: list[Stream], counts: list[int]) -> dict[int, Level]:
    """Each count of sessions; the streams one after another first, pooled as the level of one session."""
    found: dict[int, Level] = {}
    alone: list[Played] = []
    costs: list[dict[str, Any]] = []
    for stream in streams:
        played, cost = await measure(program, [stream])
        alone += played
        costs.append(cost)
    cpu = [cost["cpu_s"] for cost in costs]
    found[1] = level(streams, alone, **{**costs[-1], "cpu_s": None if None in cpu else sum(cpu)})
    progress(found[1])
    for count in counts:
        if count > 1:
            shares = [number % len(streams) for number in range(count)]
            chosen = [streams[share] for share in shares]
            played, cost = await measure(program, chosen)
            found[count] = level(chosen, played, alone=[alone[share] for share in shares], **cost)
            progress(found[count])
    return found


def progress(found: Level) -> None:
    """One line on standard error, so that nobody waits in the dark."""
    print(f"{found.sessions} sessions: settled p95 {found.settled.p95} s, {found.problems}", file=sys.stderr)


def report(found: dict[int, Level], streams: list[Stream], facts: dict[str, Any], command: str) -> str:
    """The Markdown report."""
    clips = sum(len(stream.clips) for stream in streams)
    seconds = sum(stream.seconds for stream in streams)
    late = max(one.sent_late_s for one in found.values())
    return "\n".join(
        [
            f"# Live captions: lag, error, stability ({facts['model']}, {facts['device']})",
            "",
            f"`{command}`",
            "",
            machine_line(facts),
            f"{len(streams)} streams of {clips} clips, {seconds:.0f} s with their pauses; a session plays one of them.",
            "The row of one session pools all streams, each played alone.",
            f"The clients sent no frame more than {late:.2f} s late.",
            "",
            table(COLUMNS, [row(str(count), one) for count, one in found.items()]),
            "",
            "Lag: from a word's end (offline greedy run of the same model, speech gate on) until it is shown or",
            "settled. WER is of all words shown at the end, by Whisper's normaliser. Revised: a shown word that is no",
            "longer at its place, as it was written, at the next message. Taken back: the same of settled words. Lost,",
            "replaced: right words of the same stream played alone that have nothing, another word, in their place.",
        ]
    )


def parse(description: str) -> argparse.ArgumentParser:
    """The arguments that all benchmarks on real clips share."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, help="folder with manifest.jsonl (default: SPEECHLANE_CORPUS)")
    parser.add_argument("--model", help="as `speechlane serve` names it")
    parser.add_argument("--device", choices=("cpu", "cuda", "auto"))
    parser.add_argument("--compute-type")
    parser.add_argument("--streams", type=int, default=4, help="different streams, each played alone once")
    parser.add_argument("--seconds", type=float, default=40, help="length of a stream at least")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures")
    return parser


def main() -> None:
    parser = parse(__doc__ or "")
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 8, 16])
    parser.add_argument("--learners", action="store_true", help="clips of learners of English instead of all others")
    options = parser.parse_args()
    chosen = {"model": options.model, "device": options.device, "compute_type": options.compute_type}
    settings = load_settings(chosen)
    offline = OfflineRun(settings)
    clips = read_clips(corpus_folder(options.corpus), learners=options.learners)
    streams = make_streams(clips, offline, options.streams, options.seconds)
    offline.close()
    facts = {**machine("websockets", "uvicorn"), "model": settings.model, "device": settings.device}

    async def run() -> dict[int, Level]:
        with tempfile.TemporaryDirectory(prefix="speechlane-bench-") as data:
            command, environment = speechlane_serve(data, **chosen, max_sessions=MAX_SESSIONS)
            async with running(command, ready=printed_ready, environment=environment) as program:
                return await levels(program, streams, sorted(set(options.sessions)))

    found = asyncio.run(run())
    command = "python benchmarks/live/latency.py" + (" --learners" if options.learners else "")
    print(report(found, streams, facts, command))
    if options.json:
        fields = {"machine": facts, "levels": {count: one.as_fields() for count, one in found.items()}}
        options.json.write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
