"""The live lane over the scripted engine and speech gate, or a bare echo, on the server stack that `serve` uses.

    python benchmarks/live/scripted_server.py [--echo] [--core N] [--port P] [--data DIR [--database]]

Everything is real but what hears: sockets, door, driver, core, log. Prints ``ready URL``. What is said in the audio
that `carrier` makes is known, so that a client can tell whether anything was lost.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import resource
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from speechlane.engine.scripted import ScriptedEngine, ScriptedGate, ScriptedWord, unstable
from speechlane.engine.scripted_audio import scripted_samples
from speechlane.live.config import SessionLimits
from speechlane.provenance import Registry
from speechlane.runtime.live_hub import LiveHub
from speechlane.server.auth import Authenticator
from speechlane.server.live import LiveDoor
from speechlane.storage.database import Database
from speechlane.storage.memory import MemoryRegistry
from speechlane.storage.registry import SqlRegistry

LEAD = 8_000
WORD, GAP, PAUSE, WORDS = 4_800, 400, 16_000, 6
GROUP = WORDS * (WORD + GAP) - GAP + PAUSE
"""Samples of one utterance, six words and the pause behind them: 2.95 s."""

MAX_FRAME_BYTES = 1 << 20


def script(groups: int) -> tuple[ScriptedWord, ...]:
    """Utterances of six words; each word wavers until 0.15 s behind it is heard."""
    words = []
    for number in range(groups * WORDS):
        group, place = divmod(number, WORDS)
        start = LEAD + group * GROUP + place * (WORD + GAP)
        words.append(ScriptedWord(f" word{number}", start, start + WORD))
    return unstable(words, 2_400)


def spoken(groups: int) -> str:
    """What finals must say of so many utterances."""
    return "".join(word.text for word in script(groups)).strip()


def carrier(groups: int) -> bytes:
    """The audio of so many utterances, 16-bit mono at 16 kHz."""
    samples = np.frombuffer(scripted_samples(0, LEAD + groups * GROUP), np.float32)
    return (samples * 32_767).round().astype("<i2").tobytes()


def more_files() -> None:
    """Let this process open as many files and sockets as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def echo(connection: WebSocket) -> None:
    """Send back each frame: the least that this server stack can do with one."""
    await connection.accept()
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            await connection.send_bytes(await connection.receive_bytes())


def live_application(
    groups: int, data: Path | None, *, database: bool, max_sessions: int, resume_window_ms: int
) -> Starlette:
    """The live lane; with ``data`` it keeps session logs there, as `serve` does, and records too if ``database``."""
    words = script(groups)

    @contextlib.asynccontextmanager
    async def lifespan(application: Starlette) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            registry: Registry = MemoryRegistry()
            if database and data is not None:
                opened = await Database.open(str(data / "registry.sqlite"))
                stack.push_async_callback(opened.aclose)
                registry = SqlRegistry(opened)
            hub = LiveHub(
                engines=[ScriptedEngine(words)],
                gate=ScriptedGate(words),
                registry=registry,
                logs=data / "live" if data is not None else None,
                limits=SessionLimits(max_frame_bytes=MAX_FRAME_BYTES, resume_window_ms=resume_window_ms),
                max_sessions=max_sessions,
            )
            await hub.start()
            stack.push_async_callback(hub.stop, 5)
            application.router.routes.append(WebSocketRoute("/v1/live", LiveDoor(hub, Authenticator({})).connect))
            yield

    return Starlette(lifespan=lifespan)


async def serve(application: Starlette, listener: socket.socket) -> None:
    """Serve with the settings of `speechlane serve` until SIGTERM."""
    config = uvicorn.Config(
        application,
        ws="websockets-sansio",
        ws_max_size=MAX_FRAME_BYTES,
        ws_per_message_deflate=False,
        ws_ping_timeout=300,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    host, port = listener.getsockname()[:2]
    gc.collect()
    gc.freeze()
    print(f"ready http://{host}:{port}", flush=True)
    await server.serve(sockets=[listener])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--echo", action="store_true")
    parser.add_argument("--core", type=int, help="the only core to run on (Linux)")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--data", type=Path, help="folder for session logs; none are kept without it")
    parser.add_argument("--database", action="store_true", help="records of finals into a database there too")
    parser.add_argument("--resume-window-s", type=int, default=60)
    parser.add_argument("--groups", type=int, default=1_000, help="utterances that the script holds")
    parser.add_argument("--max-sessions", type=int, default=100_000)
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    more_files()
    listener = socket.create_server(("127.0.0.1", options.port), backlog=2_048)
    if options.echo:
        application = Starlette(routes=[WebSocketRoute("/v1/live", echo)])
    else:
        application = live_application(
            options.groups,
            options.data,
            database=options.database,
            max_sessions=options.max_sessions,
            resume_window_ms=1_000 * options.resume_window_s,
        )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(application, listener))


if __name__ == "__main__":
    main()
