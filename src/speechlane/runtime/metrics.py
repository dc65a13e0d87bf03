"""What the server measures of itself, for Prometheus; docs/metrics.md explains each family.

The registry is this object's own, and no label holds a tenant, a session or anything that a client said.
"""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from speechlane.engine import DecodeFigures, EngineIdentity, Priority
from speechlane.provenance import ChunkQuery, ChunkRecord, Registry

if TYPE_CHECKING:
    from prometheus_client import Metric

    from speechlane.runtime.engine_load import ObservedEngine

_LAGS_S = (0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10, 15, 30, 60)
_WAITS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64)
_BATCHES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)
_APPENDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

STATES = ("open", "lost", "finishing", "draining", "suspended")
"""Of the sessions there are; ``lost``: open, but without a connection."""


@dataclass(frozen=True, slots=True)
class Lags:
    """Where the lags of one model's captions are counted."""

    shown: Histogram
    final: Histogram


class Metrics:
    """All families of one process; an `EngineObserver` for the engine ``engine`` names."""

    def __init__(self, engine: EngineIdentity) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self._engine = {"engine": engine.engine, "model": engine.model}
        model = ("engine", "model")
        ranked = (*model, "priority")

        self._shown = self._histogram("live_word_shown_lag", "From a word's end to its first showing", model, _LAGS_S)
        self._final = self._histogram("live_word_final_lag", "From a word's end to its final", model, _LAGS_S)
        self._refused = self._counter("live_sessions_refused", "Sessions that were not let in", ("reason",))
        self._opened = self._counter("live_sessions_opened", "Sessions that were let in")
        self._closed = self._counter("live_sessions_closed", "Sessions that have ended", ("code",))
        self.audio_seconds = self._counter("live_audio_seconds", "Audio taken in, each stream once")
        self.speech_seconds = self._counter("live_speech_seconds", "Speech found by the gate, on all channels")
        self.partials = self._counter("live_partials", "Partial captions made")
        self.partials_coalesced = self._counter(
            "live_partials_coalesced", "Partial captions dropped for a newer one before the client had read them"
        )
        self.finals = self._counter("live_finals", "Final captions made")
        self.decode_failures = self._counter("live_decode_failures", "Decodes and streams that failed", ("code",))
        self.route_changes = self._counter("live_route_changes", "Sessions moved to their next route", ("reason",))

        self._queue = self._histogram("engine_queue", "Wait of a window before the engine took it", ranked, _WAITS_S)
        self._compute = self._histogram("engine_compute", "Time the engine took for a window's batch", ranked, _WAITS_S)
        self._batch = Histogram(
            "speechlane_engine_batch_size",
            "Windows decoded together, told for each window.",
            model,
            buckets=_BATCHES,
            registry=self.registry,
        )
        self._windows = self._counter("engine_window_seconds", "Audio decoded, padding included", ranked)
        self._failed = self._counter("engine_failures", "Windows that the engine failed", (*ranked, "code"))
        self._append = self._histogram("registry_append", "Time to append a chunk's record", (), _APPENDS_S)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def _histogram(self, name: str, text: str, labels: Sequence[str], buckets: Sequence[float]) -> Histogram:
        return Histogram(
            f"speechlane_{name}_seconds", f"{text}, seconds.", labels, buckets=buckets, registry=self.registry
        )

    def _counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(f"speechlane_{name}", f"{text}.", labels, registry=self.registry)

    # --- sessions ----------------------------------------------------------------------------------------------

    def lags(self, engine: str, model: str) -> Lags:
        """Where to count the lags of a model's captions."""
        return Lags(self._shown.labels(engine, model), self._final.labels(engine, model))

    def session_opened(self) -> None:
        self._opened.inc()

    def session_refused(self, reason: str) -> None:
        self._refused.labels(reason).inc()

    def session_closed(self, code: int | None) -> None:
        """A session has ended; ``code`` is its connection's close code, None when that was gone already."""
        self._closed.labels("none" if code is None else str(code)).inc()

    def watch(self, *, states: Callable[[], Iterable[str]], engine: ObservedEngine, level: Callable[[], int]) -> None:
        """Read at each scrape: the state of each session, the windows in flight, the step of the overload ladder."""
        self.registry.register(_Watched(states, engine, level, self._engine))

    # --- the engine --------------------------------------------------------------------------------------------

    def answered(self, priority: Priority, wait_s: float, figures: DecodeFigures) -> None:
        ranked = {**self._engine, "priority": priority.name.lower()}
        self._queue.labels(**ranked).observe(wait_s)
        self._compute.labels(**ranked).observe(figures.compute_ms / 1000)
        self._batch.labels(**self._engine).observe(figures.batch_size)
        self._windows.labels(**ranked).inc(figures.padded_ms / 1000)

    def failed(self, priority: Priority, code: str) -> None:
        self._failed.labels(**self._engine, priority=priority.name.lower(), code=code).inc()

    # --- the registry ------------------------------------------------------------------------------------------

    def appended(self, seconds: float) -> None:
        self._append.observe(seconds)

    # --- out ---------------------------------------------------------------------------------------------------

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """All families as text and its content type, in the format that an ``Accept`` header asks for.

        The Prometheus text format 0.0.4, or OpenMetrics 1.0 for who accepts it.
        """
        encoder, content_type = choose_encoder(accept)
        return encoder(self.registry), content_type


class _Watched(Collector):
    """Gauges that are read rather than kept, so that they cannot drift."""

    def __init__(
        self,
        states: Callable[[], Iterable[str]],
        engine: ObservedEngine,
        level: Callable[[], int],
        labels: dict[str, str],
    ) -> None:
        self._states, self._observed, self._level, self._labels = states, engine, level, labels

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        counts = Tally(self._states())
        sessions = GaugeMetricFamily("speechlane_live_sessions", "Sessions there are, by state.", labels=["state"])
        for state in STATES:
            sessions.add_metric([state], counts[state])
        yield sessions
        labels = list(self._labels)
        values = list(self._labels.values())
        step = GaugeMetricFamily(
            "speechlane_live_ladder_step",
            "Step of overload: 0 none, 1 slower partials, 2 finals only, 3 offload.",
            labels=labels,
        )
        step.add_metric(values, self._level())
        yield step
        flight = GaugeMetricFamily(
            "speechlane_engine_windows_in_flight",
            "Windows asked for and not answered yet.",
            labels=[*labels, "priority"],
        )
        for priority, count in self._observed.in_flight.items():
            flight.add_metric([*values, priority.name.lower()], count)
        yield flight


class ObservedRegistry:
    """A `Registry` whose appends are timed."""

    def __init__(
        self, registry: Registry, appended: Callable[[float], None], *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._registry, self._appended, self._clock = registry, appended, clock

    async def append(self, tenant: str, record: ChunkRecord) -> None:
        began = self._clock()
        await self._registry.append(tenant, record)
        self._appended(self._clock() - began)

    async def chain(self, tenant: str, *, session: str | None = None, job: str | None = None) -> Sequence[ChunkRecord]:
        return await self._registry.chain(tenant, session=session, job=job)

    async def search(self, tenant: str, query: ChunkQuery) -> tuple[Sequence[ChunkRecord], str | None]:
        return await self._registry.search(tenant, query)
