"""One live session with the speech that ships with the program: does this machine keep up? Under a minute.

python benchmarks/live/quick.py
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile

from figures import COLUMNS, Level, row
from latency import levels
from material import OfflineRun, Stream, bundled_clips, join
from programs import machine, machine_line, printed_ready, running, speechlane_serve, table

from speechlane.settings import load_settings


async def run(stream: Stream) -> Level:
    with tempfile.TemporaryDirectory(prefix="speechlane-bench-") as data:
        command, environment = speechlane_serve(data)
        async with running(command, ready=printed_ready, environment=environment) as program:
            return (await levels(program, [stream], [1]))[1]


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    settings = load_settings()
    offline = OfflineRun(settings)
    stream = join(bundled_clips(), offline, seed=0)
    offline.close()
    facts = machine()
    found = asyncio.run(run(stream))
    print(f"{settings.model} on {settings.device}; {machine_line(facts)}\n")
    print(table(COLUMNS, [row("1", found)]))


if __name__ == "__main__":
    main()
