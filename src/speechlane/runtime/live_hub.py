"""All live sessions of one process: lets them in, counts them, settles them when the server stops."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import platform
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from speechlane.audio.format import AudioFormat, ContainerFormat
from speechlane.audio.gate import GateSettings
from speechlane.engine import Engine, EngineIdentity, SpeechGateModel, StreamingEngine
from speechlane.errors import NotFound, OverCapacity, SpeechlaneError
from speechlane.live import Session
from speechlane.live.config import LivePolicy, SessionConfig, SessionHead, SessionLimits
from speechlane.live.states import State
from speechlane.media.streaming import LIBRARIES, open_decoder
from speechlane.provenance import Registry, digest_of
from speechlane.router import Route, RouteRequest, ordered_routes
from speechlane.runtime.intake import Intake
from speechlane.runtime.left_sessions import LeftSessions
from speechlane.runtime.live_driver import LiveDriver
from speechlane.runtime.live_journal import SessionJournal
from speechlane.runtime.live_load import LiveLoad
from speechlane.runtime.live_outgoing import Outgoing
from speechlane.runtime.metrics import Metrics
from speechlane.runtime.recovery import Restored, take_up
from speechlane.runtime.resume_request import ResumeRequest
from speechlane.runtime.session_files import SessionFiles
from speechlane.runtime.session_meter import UNOBSERVED, SessionMeter

_LOGGER = logging.getLogger(__name__)

RETRY_AFTER_MS = 5_000
"""What a refused client is told to wait: about the time in which a session may end."""

FAREWELL_S = 0.5
"""What readers get to take the last messages when the drain time is over."""


@dataclass(frozen=True, slots=True)
class StartRequest:
    """A checked ``session.start``: the audio format, the wishes, the route asked for."""

    audio: AudioFormat | ContainerFormat
    config: SessionConfig
    route: RouteRequest


class LiveHub:
    """Opens sessions and holds them until they have closed.

    ``engines``: in order of preference; the router picks from them for each session. ``check_room`` raises
    StorageFailed where the disk has no room for another session.
    """

    def __init__(
        self,
        *,
        engines: Sequence[Engine | StreamingEngine],
        gate: SpeechGateModel,
        registry: Registry,
        logs: Path | None,
        limits: SessionLimits,
        max_sessions: int,
        keep_audio: bool = False,
        load: LiveLoad | None = None,
        metrics: Metrics | None = None,
        policy: LivePolicy | None = None,
        check_room: Callable[[], None] = lambda: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engines, self._gate, self._registry, self._logs = tuple(engines), gate, registry, logs
        # Without a log there is nothing that a lost client could be told again.
        self._limits = limits if logs is not None else replace(limits, resume_window_ms=0)
        self._keep_audio, self._max_sessions = keep_audio, max_sessions
        self._load, self._metrics, self._check_room = load, metrics, check_room
        self._policy, self._now, self._clock = policy or LivePolicy(), now, clock
        self._software = f"speechlane {version('speechlane')}, python {platform.python_version()}"
        self._resampler = f"soxr {version('soxr')}"
        self._running: dict[asyncio.Task[None], LiveDriver] = {}
        self._connections: set[asyncio.Task[None]] = set()
        self._left = LeftSessions(logs, self._restore) if logs is not None else None
        self._stopping = False

    @property
    def sessions(self) -> int:
        """Sessions that have not ended, those whose client may still come back among them."""
        return sum(not driver.over for driver in self._running.values())

    @property
    def stopping(self) -> bool:
        """Whether the server takes no new sessions, and is about to end."""
        return self._stopping

    def running(self, session: str) -> Session | None:
        """The core of a session that this process holds."""
        cores = (driver.session for driver in self._running.values())
        return next((core for core in cores if core.head.session == session), None)

    def holds(self, session: str) -> bool:
        """Whether a session runs here, or was left and is to be taken up."""
        return self.running(session) is not None or (self._left is not None and session in self._left)

    def check_ready(self) -> None:
        """Nothing, while new sessions are taken.

        Raises:
            OverCapacity: ``server_stopping``.
        """
        if self._stopping:
            raise OverCapacity(
                "server_stopping", "The server is stopping. Try again in a moment.", retry_after_ms=RETRY_AFTER_MS
            )

    def open(self, tenant: str, start: StartRequest) -> LiveDriver:
        """Let a session in and run it; its messages come from the driver's ``outgoing``.

        Raises:
            InvalidInput: no engine at hand meets the route or the language.
            OverCapacity: ``too_many_sessions``, ``over_capacity`` or ``server_stopping``.
            StorageFailed: the disk has no room (``disk_full``), or the session's log cannot be written.
        """
        try:
            driver = self._open(tenant, start)
        except SpeechlaneError as problem:
            if self._metrics is not None:
                self._metrics.session_refused(problem.code)
            raise
        if self._metrics is not None:
            self._metrics.session_opened()
        return driver

    def _open(self, tenant: str, start: StartRequest) -> LiveDriver:
        self.check_ready()
        if self.sessions >= self._max_sessions:
            raise OverCapacity(
                "too_many_sessions",
                f"All {self._max_sessions} live sessions are taken. Try again when one has ended.",
                field="max_sessions",
                limit=self._max_sessions,
                retry_after_ms=RETRY_AFTER_MS,
            )
        routes = ordered_routes(
            start.route, start.config.language, [(engine.identity, engine.capabilities) for engine in self._engines]
        )
        if self._load is not None:
            self._load.admit(routes[0], start.config.timelines)
        if self._logs is not None:
            self._check_room()
        head = SessionHead(
            session=f"ses_{secrets.token_hex(12)}",
            tenant=tenant,
            started_at=self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            software=self._software,
            config=start.config,
            policy=self._policy,
            limits=self._limits,
            routes=routes,
            fallback=start.route.fallback or "anytime",
            frame_samples=self._gate.frame_samples,
            preprocess_digest=self._preprocess_digest(start),
            resume_token=secrets.token_urlsafe(24) if self._limits.resume_window_ms else None,
        )
        files = SessionFiles(self._logs, head, keep_audio=self._keep_audio) if self._logs is not None else None
        decoder = open_decoder(start.audio, head.config.timelines)
        intake = Intake(decoder, self._gate, head.frame_samples)
        return self._run(Session(head), intake, files)

    def _engine_of(self, route: Route) -> Engine | StreamingEngine | None:
        """The one of the route, or one that serves the same model on another device or by another version."""
        known = route.identity
        same = [engine for engine in self._engines if _model_of(engine.identity) == _model_of(known)]
        return next((engine for engine in same if engine.identity == known), same[0] if same else None)

    def _run(
        self, session: Session, intake: Intake, files: SessionFiles | None, restored: Restored | None = None
    ) -> LiveDriver:
        head, metrics = session.head, self._metrics
        meter = UNOBSERVED if metrics is None else SessionMeter(metrics, head, intake.received, session.position)
        driver = LiveDriver(
            session,
            intake,
            engines=[engine for route in head.routes if (engine := self._engine_of(route)) is not None],
            registry=self._registry,
            files=files,
            restored=restored,
            observer=SessionJournal(head.session, meter),
            clock=self._clock,
        )
        task = asyncio.create_task(self._drive(driver), name=head.session)
        self._running[task] = driver
        task.add_done_callback(self._ended)
        if self._load is not None:
            self._load.join(driver)
        return driver

    async def _drive(self, driver: LiveDriver) -> None:
        try:
            await driver.run()
        finally:
            # At once: from now on a client finds it there or nowhere.
            if self._left is not None and driver.broken and driver.resumable:
                self._left.add(driver.session.head.session)  # what it stored can still be taken up

    def _ended(self, task: asyncio.Task[None]) -> None:
        driver = self._running.pop(task)
        if driver.broken and driver.session.state is not State.CLOSED:
            name, code = driver.session.head.session, driver.outgoing.close_code
            _LOGGER.warning("session %s is cut short: %s", name, code or "nobody was connected")
        if self._load is not None:
            self._load.leave(driver)

    def states(self) -> Iterator[str]:
        """The state of each session that has not ended, by the names of the metrics."""
        for driver in self._running.values():
            if not driver.over:
                lost = driver.session.state is State.OPEN and driver.outgoing.closed
                yield "lost" if lost else driver.session.state.value

    async def resume(self, tenant: str, ask: ResumeRequest) -> tuple[LiveDriver, Outgoing]:
        """Give a session to a new connection, whose messages come from the second of what is returned.

        Raises:
            NotFound: ``unknown_session``: there is none of this tenant's, or the token is not its own.
            InvalidInput: ``after_seq`` was never sent.
            OverCapacity: ``server_stopping`` or ``server_restart``.
            SpeechlaneError: ``retryable``: it could not be taken up now.
        """
        self.check_ready()
        driver = self._driver_of(ask.session)
        if driver is not None and driver.broken:
            await driver.ended.wait()  # cut short, and about to be left
            driver = None
        if driver is not None:
            head: SessionHead | None = driver.session.head
        else:
            head = self._left.head(ask.session) if self._left is not None else None
        if head is None or not ask.fits(head, tenant):
            raise ask.unknown()
        if driver is None:
            assert self._left is not None
            try:
                driver = await self._left.take_up(head)
            except NotFound as problem:
                raise ask.unknown() from problem
            self.check_ready()
        ask.check_sent(driver.session.last_seq)
        return driver, driver.resume(ask.after_seq)

    async def start(self) -> None:
        """Find the sessions that another process left. Those that nobody resumes within the window are finished."""
        if self._left is not None:
            await self._left.start(self._limits.resume_window_ms / 1_000)

    def _driver_of(self, session: str) -> LiveDriver | None:
        return next(
            (d for d in self._running.values() if d.session.head.session == session and d.reachable),
            None,
        )

    async def _restore(self, head: SessionHead, replays: Executor) -> LiveDriver:
        routes = []
        for route in head.routes:
            engine = self._engine_of(route)
            if engine is None:
                raise NotFound("engine_gone", f"It was begun with {route.identity.pin}. Serve that model to finish it.")
            routes.append(Route(engine.identity, engine.capabilities, route.reason))
        assert self._logs is not None
        session, intake, files, restored = await take_up(
            self._logs,
            head,
            tuple(routes),
            gate=self._gate,
            registry=self._registry,
            keep_audio=self._keep_audio,
            now=self._now(),
            replays=replays,
        )
        return self._run(session, intake, files, restored)

    @contextlib.contextmanager
    def connected(self) -> Iterator[None]:
        """While a task serves a connection: `stop` waits for what it still has to deliver."""
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            yield
        finally:
            self._connections.discard(task)

    async def stop(self, drain_s: float) -> None:
        """Take no new sessions; settle the open ones and deliver it within ``drain_s`` seconds, then cut what is left.

        What was cut can be resumed when the server is back, as far as that is offered.
        """
        self._stopping = True
        if self._left is not None:
            await self._left.stop()
        loop = asyncio.get_running_loop()
        until = loop.time() + drain_s
        drivers, tasks = list(self._running.values()), list(self._running)
        for driver in drivers:
            driver.shut_down()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(drain_s):
                await asyncio.gather(*(driver.ended.wait() for driver in drivers))
        for task in tasks:
            task.cancel()  # cut short, or only waiting to tell its end again
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._connections:
            await asyncio.wait(self._connections, timeout=max(FAREWELL_S, until - loop.time()))

    def _preprocess_digest(self, start: StartRequest) -> str:
        """Digest of all that is done to the sound before an engine hears it."""
        gate = GateSettings(endpointing_ms=start.config.endpointing_ms, frame_samples=self._gate.frame_samples)
        return digest_of(
            {
                "decoder": asdict(start.audio),
                "codecs": LIBRARIES if isinstance(start.audio, ContainerFormat) else None,
                "mix": start.config.timelines == 1,
                "resampler": self._resampler,
                "gate": asdict(gate),
                "gate_model": self._gate.version,
            }
        )


def _model_of(identity: EngineIdentity) -> tuple[str | None, ...]:
    """What is the same whichever version of a library or device serves it."""
    return identity.engine, identity.model, identity.model_revision, identity.model_digest
