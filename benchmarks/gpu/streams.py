"""How many live streams does one device carry? Streams against lag and error, up to where finals come too late.

    python benchmarks/gpu/streams.py [--device cuda] [--model small.en] [--json FILE]

The table has the form of NVIDIA Riva's performance pages: streams, then mean and percentiles of latency. Latency here
is the lag of a word, from its end in the audio until it is settled (docs in benchmarks/live/latency.py). The streams
double until the 95th percentile exceeds 2 s, or sessions break or are refused. Also runs on a CPU.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "live"))

from figures import Level, level, percent, seconds
from latency import MAX_SESSIONS, measure, parse, progress
from material import OfflineRun, Stream, corpus_folder, make_streams, read_clips
from programs import (
    Program,
    machine,
    machine_line,
    printed_ready,
    running,
    speechlane_serve,
    table,
)

from speechlane.settings import load_settings

COLUMNS = ("streams", "avg", "p50", "p90", "p95", "p99", "first shown p50 / p95", "WER, %", "broken or refused")
P95_S = 2.0


async def climb(program: Program, streams: list[Stream], most: int) -> list[Level]:
    """Levels of 1, 2, 4 ... streams, the last of them the first that is too late."""
    found: list[Level] = []
    count = 1
    while count <= most:
        chosen = [streams[number % len(streams)] for number in range(count)]
        played, cost = await measure(program, chosen)
        found.append(level(chosen, played, **cost))
        progress(found[-1])
        if found[-1].settled.p95 is None or found[-1].settled.p95 > P95_S or found[-1].whole < count:
            break
        count *= 2
    return found


def row(one: Level) -> list[object]:
    lag = one.settled
    return [
        one.sessions,
        *(seconds(value) for value in (lag.mean, lag.p50, lag.p90, lag.p95, lag.p99)),
        f"{seconds(one.first_shown.p50)} / {seconds(one.first_shown.p95)}",
        percent(one.wer),
        one.sessions - one.whole,
    ]


def report(found: list[Level], facts: dict[str, Any]) -> str:
    held = [one.sessions for one in found if one.settled.p95 is not None and one.settled.p95 <= P95_S]
    return "\n".join(
        [
            f"# Live streams on one device: {facts['model']}, {facts['compute_type']}, {facts['device']}",
            "",
            machine_line(facts),
            f"Most streams tried with p95 of settled words within {P95_S:.0f} s: {max(held, default=0)}.",
            "",
            "Seconds from a word's end until it is settled:",
            "",
            table(COLUMNS, map(row, found)),
        ]
    )


def main() -> None:
    parser = parse(__doc__ or "")
    parser.add_argument("--most", type=int, default=512, help="streams at most")
    options = parser.parse_args()
    chosen = {"model": options.model, "device": options.device, "compute_type": options.compute_type}
    settings = load_settings(chosen)
    offline = OfflineRun(settings)
    streams = make_streams(
        read_clips(corpus_folder(options.corpus), learners=False), offline, options.streams, options.seconds
    )
    offline.close()
    facts = {
        **machine("websockets", "uvicorn"),
        "model": settings.model,
        "device": settings.device,
        "compute_type": settings.compute_type,
    }

    async def run() -> list[Level]:
        with tempfile.TemporaryDirectory(prefix="speechlane-bench-") as data:
            command, environment = speechlane_serve(data, **chosen, max_sessions=MAX_SESSIONS)
            async with running(command, ready=printed_ready, environment=environment) as program:
                return await climb(program, streams, options.most)

    found = asyncio.run(run())
    print(report(found, facts))
    if options.json:
        fields = {"machine": facts, "levels": [one.as_fields() for one in found]}
        options.json.write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
