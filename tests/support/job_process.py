"""A process with a batch lane of its own, to be killed: ``python job_process.py DATA [RECORDING]``.

Posts the recording, if one is given, and works off what there is; each decode is a line on standard output.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from job_server import batch_lane, sentences

from speechlane.engine import DecodeRequest
from speechlane.engine.scripted import ScriptedEngine
from speechlane.engine.scripted_audio import position_of

CHUNKS = 20
SCRIPT = sentences(CHUNKS)


async def note(request: DecodeRequest) -> None:
    print(position_of(request.samples), flush=True)  # noqa: T201 - the parent counts these lines


async def main(data: Path, recording: Path | None) -> None:
    async with batch_lane(data, SCRIPT, engine=ScriptedEngine(SCRIPT, before_answer=note)) as lane:
        if recording is not None:
            async with lane.service.spool() as spool:
                await spool.write(await asyncio.to_thread(recording.read_bytes))
                await lane.service.submit("default", spool, recording.name, {})
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None))
