"""A live lane in a process of its own, to be killed: ``python live_process.py DATA``; prints ``ready URL``."""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

import uvicorn
from live_server import script
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from speechlane.engine.scripted import ScriptedEngine, ScriptedGate
from speechlane.live.config import SessionLimits
from speechlane.runtime.live_hub import LiveHub
from speechlane.server.auth import Authenticator
from speechlane.server.live import LiveDoor
from speechlane.storage.database import Database
from speechlane.storage.registry import SqlRegistry

SCRIPT = script(60)


async def slowly(_request: object) -> None:
    """Decodes take a moment, so that a kill finds some under way."""
    await asyncio.sleep(0.02)


async def main(data: Path) -> None:
    hub = LiveHub(
        engines=[ScriptedEngine(SCRIPT, before_answer=slowly)],
        gate=ScriptedGate(SCRIPT),
        registry=SqlRegistry(await Database.open(str(data / "speechlane.db"))),
        logs=data / "live",
        limits=SessionLimits(resume_window_ms=30_000),
        max_sessions=100,
    )
    await hub.start()
    app = Starlette(routes=[WebSocketRoute("/v1/live", LiveDoor(hub, Authenticator({})).connect)])
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"ready ws://127.0.0.1:{listener.getsockname()[1]}/v1/live", flush=True)  # noqa: T201 - the parent reads it
    config = uvicorn.Config(app, ws="websockets-sansio", lifespan="off", log_level="critical")
    await uvicorn.Server(config).serve(sockets=[listener])


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
