"""All live sessions of one process: lets them in, counts them, settles them when the server stops."""

from __future__ import annotations

import asyncio
import platform
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from speechlane.audio.format import AudioFormat
from speechlane.audio.gate import GateSettings
from speechlane.engine import Engine, SpeechGateModel
from speechlane.errors import OverCapacity
from speechlane.live.config import LivePolicy, SessionConfig, SessionHead, SessionLimits
from speechlane.provenance import Registry, digest_of
from speechlane.router import RouteRequest, ordered_routes
from speechlane.runtime.live_driver import LiveDriver
from speechlane.runtime.session_log import SessionLog

RETRY_AFTER_MS = 5_000
"""What a refused client is told to wait: about the time in which a session may end."""


@dataclass(frozen=True, slots=True)
class StartRequest:
    """A checked ``session.start``: the audio format, the wishes, the route asked for."""

    audio: AudioFormat
    config: SessionConfig
    route: RouteRequest


class LiveHub:
    """Opens sessions on one engine and holds them until they have closed."""

    def __init__(
        self,
        *,
        engine: Engine,
        gate: SpeechGateModel,
        registry: Registry,
        logs: Path | None,
        limits: SessionLimits,
        max_sessions: int,
        policy: LivePolicy | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._engine, self._gate, self._registry, self._logs = engine, gate, registry, logs
        self._limits, self._max_sessions, self._policy, self._now = limits, max_sessions, policy or LivePolicy(), now
        self._software = f"speechlane {version('speechlane')}, python {platform.python_version()}"
        self._resampler = f"soxr {version('soxr')}"
        self._running: dict[asyncio.Task[None], LiveDriver] = {}
        self._stopping = False

    @property
    def sessions(self) -> int:
        """Sessions that have not closed."""
        return len(self._running)

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
            OverCapacity: ``too_many_sessions`` or ``server_stopping``.
            StorageFailed: the session's log cannot be written.
        """
        self.check_ready()
        if self.sessions >= self._max_sessions:
            raise OverCapacity(
                "too_many_sessions",
                f"All {self._max_sessions} live sessions are taken. Try again when one has ended.",
                field="max_sessions",
                limit=self._max_sessions,
                retry_after_ms=RETRY_AFTER_MS,
            )
        engines = [self._engine]
        routes = ordered_routes(
            start.route, start.config.language, [(engine.identity, engine.capabilities) for engine in engines]
        )
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
        )
        driver = LiveDriver(
            head,
            start.audio,
            engine=self._engine,
            gate=self._gate,
            registry=self._registry,
            log=SessionLog(self._logs, head) if self._logs is not None else None,
        )
        task = asyncio.create_task(driver.run(), name=head.session)
        self._running[task] = driver
        task.add_done_callback(self._running.pop)
        return driver

    async def stop(self, drain_s: float) -> None:
        """Take no new sessions; settle the open ones within ``drain_s`` seconds, then cut what is left."""
        self._stopping = True
        for driver in self._running.values():
            driver.shut_down()
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=drain_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _preprocess_digest(self, start: StartRequest) -> str:
        """Digest of all that is done to the sound before an engine hears it."""
        gate = GateSettings(endpointing_ms=start.config.endpointing_ms, frame_samples=self._gate.frame_samples)
        return digest_of(
            {
                "decoder": asdict(start.audio),
                "mix": start.config.timelines == 1,
                "resampler": self._resampler,
                "gate": asdict(gate),
                "gate_model": self._gate.version,
            }
        )
