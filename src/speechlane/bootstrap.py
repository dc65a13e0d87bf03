"""The composition root: the only file that knows every class. Used by the command line and by tests.

`serve` runs until a signal; `embedded` runs the same server inside a caller's event loop. Both hold the data folder
alone, listen before they load anything (a taken port is told at once), and settle open sessions before they stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn

from speechlane.audio.format import MAX_CHANNELS
from speechlane.errors import AddressInUse, ConfigurationInvalid, StorageFailed
from speechlane.live.config import SessionLimits
from speechlane.local.ctranslate import shares
from speechlane.local.diarizer import LocalDiarizer
from speechlane.local.dispatcher import EngineDispatcher
from speechlane.local.silero import SileroGate
from speechlane.local.weights import open_model
from speechlane.local.whisper import WhisperDecoder
from speechlane.runtime.durable import DurableRunner
from speechlane.runtime.engine_load import ObservedEngine
from speechlane.runtime.governor import Governor, GovernorSettings
from speechlane.runtime.jobs import JobLimits, JobService
from speechlane.runtime.live_hub import LiveHub
from speechlane.runtime.live_load import LiveLoad
from speechlane.runtime.live_records import LiveRecords
from speechlane.runtime.live_retention import LiveRetention
from speechlane.runtime.metrics import Metrics, ObservedRegistry
from speechlane.server.app import create_app
from speechlane.server.auth import Authenticator
from speechlane.server.live import live_router
from speechlane.server.live_outputs import live_outputs_router
from speechlane.server.metrics import metrics_router
from speechlane.settings import Settings, is_loopback
from speechlane.storage.database import Database
from speechlane.storage.folder import held_data_folder
from speechlane.storage.jobs import SqlJobStore
from speechlane.storage.objects import ObstoreObjects
from speechlane.storage.registry import SqlRegistry

_BACKLOG = 2_048


@dataclass(frozen=True, slots=True)
class _Running:
    """A server that takes work."""

    url: str
    hub: LiveHub
    server: uvicorn.Server
    task: asyncio.Task[None]


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, which would cut sessions before they are settled."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


def serve(settings: Settings) -> None:
    """Run the server until SIGINT or SIGTERM; print ``ready URL`` on standard output once it takes work.

    Raises:
        SpeechlaneError: the port or the data folder is taken, the weights are missing, or the folder is unwritable.
    """
    _log_to_stderr(settings.log_level)
    _allow_open_files()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings))


def _allow_open_files() -> None:
    """Take all the open files that the system grants: a session holds three, and the usual soft limit is 1,024."""
    try:
        import resource  # noqa: PLC0415  not to be had on Windows
    except ImportError:
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _log_to_stderr(level: str) -> None:
    """Our own lines at the level asked for; libraries speak only of what goes wrong."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    logging.getLogger("speechlane").setLevel(level.upper())


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    async with _running(settings) as running:
        live = running.url.replace("http", "ws", 1)
        sys.stderr.write(f"live captions  {live}/v1/live\nrecordings     {running.url}/v1/jobs\n")
        sys.stdout.write(f"ready {running.url}\n")
        sys.stdout.flush()
        gc.collect()
        gc.freeze()  # what is here now stays: no collection goes over it again, while all sessions wait
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait([stopped, running.task], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()


@asynccontextmanager
async def embedded(settings: Settings) -> AsyncIterator[str]:
    """The whole server on the running event loop; yields its base URL, ``http://127.0.0.1:PORT``.

    One at a time in a process (the workflow engine is one in a process).

    Raises:
        SpeechlaneError: as `serve`.
    """
    async with _running(settings) as running:
        yield running.url


@asynccontextmanager
async def _running(settings: Settings) -> AsyncIterator[_Running]:
    """Everything put together and taking work; taken apart in reverse order."""
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(_listen(settings.host, settings.port))
        folder = stack.enter_context(held_data_folder(settings.data))

        decoder = await asyncio.to_thread(_decoder, settings)
        metrics = Metrics(decoder.identity)
        engine = ObservedEngine(engine_queue(decoder, settings), metrics)
        stack.push_async_callback(engine.aclose)
        gate = SileroGate()

        database = await Database.open(str(folder.database))
        stack.push_async_callback(database.aclose)
        registry = ObservedRegistry(SqlRegistry(database), metrics.appended)
        jobs = JobService(
            jobs=SqlJobStore(database),
            objects=ObstoreObjects.in_folder(folder.objects),
            registry=registry,
            engine=engine,
            gate=gate,
            diarizer=LocalDiarizer(),
            runner=DurableRunner(folder.workflow_database),
            work=folder.work,
            limits=JobLimits(
                max_upload_bytes=settings.max_upload_bytes, max_duration_ms=settings.max_job_duration_s * 1_000
            ),
        )
        await jobs.start()
        stack.push_async_callback(jobs.aclose)

        load = LiveLoad(engine, Governor(GovernorSettings(max_wait_ms=settings.max_wait_ms), workers=decoder.workers))
        hub = LiveHub(
            engines=[engine],
            gate=gate,
            registry=registry,
            logs=folder.live if settings.event_log else None,
            limits=SessionLimits(
                max_session_ms=settings.max_session_s * 1_000,
                max_session_bytes=settings.max_session_bytes,
                idle_timeout_ms=settings.idle_timeout_s * 1_000,
                max_frame_bytes=settings.max_frame_bytes,
                resume_window_ms=settings.resume_window_s * 1_000,
            ),
            max_sessions=settings.max_sessions,
            keep_audio=settings.event_audio,
            load=load,
            metrics=metrics,
            check_room=folder.check_room,
        )
        metrics.watch(states=hub.states, engine=engine, level=lambda: load.level)

        await hub.start()
        if settings.live_retain_days:
            retention = LiveRetention(folder.live, hub, settings.live_retain_days)
            retention.start()
            stack.push_async_callback(retention.aclose)
        records = LiveRecords(folder.live if settings.event_log else None, hub)
        stack.callback(records.close)

        async def ready() -> None:
            hub.check_ready()
            await asyncio.to_thread(folder.check_room)

        authenticator = Authenticator(settings.api_keys, settings.allowed_origins)
        app = create_app(
            jobs=jobs,
            registry=registry,
            engines=[engine],
            authenticator=authenticator,
            ready=ready,
            routers=[
                live_router(hub, authenticator),
                live_outputs_router(records, hub, registry, authenticator),
                metrics_router(metrics, authenticator),
            ],
        )
        server = _Server(_uvicorn_config(app, settings))
        task = asyncio.create_task(server.serve(sockets=[listener]), name="server")
        started = asyncio.create_task(server.ready.wait())
        await asyncio.wait([started, task], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            started.cancel()
            task.result()
            raise StorageFailed("server_ended", "The server ended before it was ready. Its log tells why.")
        try:
            yield _Running(_url(listener), hub, server, task)
        finally:
            await hub.stop(settings.drain_s)
            server.should_exit = True
            await task


def _decoder(settings: Settings) -> WhisperDecoder:
    """The local model, every file checked by its digest first."""
    model = open_model(settings.model, settings.models)
    threads, workers = shares(settings.device, settings.threads, settings.workers)
    return WhisperDecoder(
        model.path,
        model=model.pin.name,
        revision=model.pin.revision,
        digest=model.pin.digest,
        device=settings.device,
        compute_type=settings.compute_type,
        threads=threads,
        workers=workers,
    )


def engine_queue(decoder: WhisperDecoder, settings: Settings) -> EngineDispatcher:
    """The model's queue. A GPU wants large batches; on a CPU more than four windows together save nothing."""
    fitting = 4 if decoder.identity.device == "cpu" else 16
    return EngineDispatcher(
        decoder,
        max_batch=settings.max_batch or fitting,
        workers=decoder.workers,
        max_waiting=settings.max_sessions * MAX_CHANNELS,
    )


def _uvicorn_config(app: Callable[..., Any], settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        ws="websockets-sansio",
        ws_max_size=settings.max_frame_bytes,
        # Captions are small and audio does not shrink: compression costs 1.6 times the CPU of a frame for nothing.
        ws_per_message_deflate=False,
        # A pong waits behind the audio of a sender that is held back, minutes of it in the sockets' buffers. Who is
        # gone without a word is found sooner by the idle limit, which ends the connection, not a session to be resumed.
        ws_ping_timeout=300,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        AddressInUse: ``port_in_use``.
        ConfigurationInvalid: ``host_unusable`` for a host that is not this machine's, or a port that may not be had.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(
                "port_in_use",
                f"Port {port} on {host} is taken. Stop what listens there, or choose another with --port "
                "(0 takes any free one).",
                field="port",
                limit=port,
            ) from error
        raise ConfigurationInvalid(
            "host_unusable",
            f"Cannot listen on {host} port {port} ({error.strerror or error}). Choose another --host or --port.",
            field="host",
        ) from error


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    if not is_loopback(host) and host in {"0.0.0.0", "::"}:  # noqa: S104  told apart, not bound
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415  not to be had on every system
    except ImportError:
        return None
    return uvloop.Loop
