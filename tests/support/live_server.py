"""A live lane on a real socket, with the scripted engine and gate: uvicorn on a free loopback port, in a thread."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from speechlane.engine.scripted import ScriptedEngine, ScriptedGate, ScriptedWord, unstable
from speechlane.live.config import SessionLimits
from speechlane.runtime.engine_load import ObservedEngine
from speechlane.runtime.governor import Governor
from speechlane.runtime.live_hub import LiveHub
from speechlane.runtime.live_load import LiveLoad
from speechlane.runtime.live_records import LiveRecords
from speechlane.runtime.metrics import Metrics
from speechlane.server.auth import Authenticator
from speechlane.server.live import live_router
from speechlane.server.live_outputs import live_outputs_router
from speechlane.server.metrics import metrics_router
from speechlane.server.problems import handle_problems
from speechlane.storage.memory import MemoryRegistry

START = {"type": "session.start", "audio": {"encoding": "pcm_f32le", "sample_rate": 16_000, "channels": 1}}


def script(words: int = 24, *, at: int = 8_000, pause_every: int = 6) -> tuple[ScriptedWord, ...]:
    """Words of 0.3 s, a pause of 1 s behind every sixth; each wavers until 0.15 s behind it is heard."""
    out = []
    for number in range(words):
        end = at + 4_800
        out.append(ScriptedWord(f" word{number}", at, end))
        at = end + (16_000 if number % pause_every == pause_every - 1 else 400)
    return unstable(out, 2_400)


@dataclass
class LiveServer:
    """The running server's address and its parts."""

    url: str
    hub: LiveHub
    registry: MemoryRegistry
    server: uvicorn.Server
    logs: Path | None


@contextlib.contextmanager
def live_server(
    engine: ScriptedEngine,
    words: Sequence[ScriptedWord],
    *,
    keys: dict[str, str] | None = None,
    limits: SessionLimits | None = None,
    max_sessions: int = 8,
    max_frame_bytes: int = 1 << 20,
    logs: Path | None = None,
    keep_audio: bool = False,
    governor: Governor | None = None,
    check_room: Callable[[], None] = lambda: None,
) -> Iterator[LiveServer]:
    """Serve until the block ends; the hub drains at the end as the composition root lets it."""
    registry = MemoryRegistry()
    first, *others = engine if isinstance(engine, list) else [engine]
    metrics = Metrics(first.identity)
    observed = ObservedEngine(first, metrics)
    load = LiveLoad(observed, governor, tick_s=0.02)
    hub = LiveHub(
        engines=[first if first.capabilities.streaming else observed, *others],
        gate=ScriptedGate(words),
        registry=registry,
        logs=logs,
        limits=limits or SessionLimits(max_frame_bytes=max_frame_bytes),
        max_sessions=max_sessions,
        keep_audio=keep_audio,
        load=load if governor is not None else None,
        metrics=metrics,
        check_room=check_room,
    )
    metrics.watch(states=hub.states, engine=observed, level=lambda: load.level)
    authenticator = Authenticator(keys or {})

    @contextlib.asynccontextmanager
    async def lifespan(_app):
        await hub.start()
        yield
        await hub.stop(5)

    app = FastAPI(lifespan=lifespan)
    handle_problems(app)
    app.include_router(live_router(hub, authenticator))
    app.include_router(metrics_router(metrics, authenticator))
    app.include_router(live_outputs_router(LiveRecords(logs, hub), hub, registry, authenticator))
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, ws="websockets-sansio", ws_max_size=max_frame_bytes, log_level="critical")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield LiveServer(f"ws://127.0.0.1:{listener.getsockname()[1]}/v1/live", hub, registry, server, logs)
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


def converse(url: str, frames: Sequence[bytes | dict | str], **options) -> tuple[list[dict], int]:
    """Send these frames, then read until the server closes: its messages and the close code."""
    with connect(url, **options) as client:
        with contextlib.suppress(ConnectionClosed):
            for frame in frames:
                client.send(frame if isinstance(frame, bytes | str) else json.dumps(frame))
        return read_all(client), client.close_code


def read_all(client) -> list[dict]:
    """Every message until the close, whatever its code."""
    messages = []
    with contextlib.suppress(ConnectionClosed):
        for text in client:
            messages.append(json.loads(text))  # noqa: PERF401  what came before the close is kept
    return messages
