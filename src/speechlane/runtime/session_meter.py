"""What one live session tells the metrics: how far its captions lag behind its words, and what it took and gave.

The lag of a word is the moment at which it goes out minus the moment at which the audio that holds its end came in.
So a client that sends a recording faster than it was spoken has a lag as well, and it is never negative.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from speechlane.audio import SAMPLE_RATE, position_to_ms
from speechlane.live import events
from speechlane.live.actions import Action, Send
from speechlane.live.config import SessionHead

if TYPE_CHECKING:
    from prometheus_client import Histogram

    from speechlane.runtime.metrics import Metrics

_KEPT = 512
"""Arrivals kept: half a minute of audio or more. An older word is taken to have come with the oldest."""


class SessionObserver(Protocol):
    """Whoever watches a session; called by its driver, times in ms since the session began."""

    def received(self, more_bytes: int, at: int) -> None:
        """So many more of the client's bytes are here."""
        ...

    def happened(self, event: events.Event, actions: Sequence[Action], at: int) -> None:
        """The core took an event; its actions were carried out by ``at``."""
        ...

    def coalesced(self) -> None:
        """A partial was dropped unsent, as a newer one came before the client had read it."""
        ...

    def ended(self, code: int | None) -> None:
        """The session is over; ``code`` closes its connection, None when that was gone already."""
        ...


class _Unobserved:
    """The `SessionObserver` of who wants to know nothing."""

    def received(self, more_bytes: int, at: int) -> None:
        pass

    def happened(self, event: events.Event, actions: Sequence[Action], at: int) -> None:
        pass

    def coalesced(self) -> None:
        pass

    def ended(self, code: int | None) -> None:
        pass


UNOBSERVED = _Unobserved()


class Arrivals:
    """When which sample came in; bounded. ``received_bytes``: what had come before."""

    def __init__(self, received_bytes: int = 0) -> None:
        self._received = received_bytes
        self._bytes: deque[tuple[int, int]] = deque()
        self._samples: deque[tuple[int, int]] = deque(maxlen=_KEPT)

    def received(self, more_bytes: int, at: int) -> None:
        """So many more bytes have come by ``at``."""
        self._received += more_bytes
        if len(self._bytes) == _KEPT:  # bytes that make no sound yet, as a container's head does
            self._bytes.popleft()
        self._bytes.append((self._received, at))

    def heard(self, position: int, received_bytes: int, at: int) -> None:
        """These bytes gave the samples up to ``position``; ``at`` stands in where nobody saw them come."""
        came = at
        while self._bytes and self._bytes[0][0] <= received_bytes:
            came = self._bytes[0][1]
            if self._bytes[0][0] == received_bytes:
                break  # more blocks of the same bytes may follow
            self._bytes.popleft()
        if self._samples and self._samples[-1][1] == came:
            self._samples.pop()  # the same frame goes on
        self._samples.append((position, came))

    def of(self, position: int) -> int | None:
        """When the sample before ``position`` had come; None when nothing has."""
        if not self._samples:
            return None
        index = bisect_left(self._samples, position, key=lambda entry: entry[0])
        return self._samples[min(index, len(self._samples) - 1)][1]


class SessionMeter:
    """A `SessionObserver` that counts into the process's metrics.

    ``received_bytes`` of the stream and ``position``, samples heard, are those of a process before this one: they and
    the speech in them were counted there.
    """

    def __init__(self, metrics: Metrics, head: SessionHead, received_bytes: int = 0, position: int = 0) -> None:
        self._metrics = metrics
        self._arrivals = Arrivals(received_bytes)
        self._position = position
        self._shown_ms = [0] * head.config.timelines
        self._speech_ms = [position_to_ms(position)] * head.config.timelines
        self._lags = metrics.lags(head.routes[0].identity.engine, head.routes[0].identity.model)

    def received(self, more_bytes: int, at: int) -> None:
        self._arrivals.received(more_bytes, at)

    def coalesced(self) -> None:
        self._metrics.partials_coalesced.inc()

    def ended(self, code: int | None) -> None:
        self._metrics.session_closed(code)

    def happened(self, event: events.Event, actions: Sequence[Action], at: int) -> None:
        if isinstance(event, events.AudioReceived):
            self._arrivals.heard(event.position, event.received_bytes, event.at)
            self._metrics.audio_seconds.inc((event.position - self._position) / SAMPLE_RATE)
            self._position = event.position
        elif isinstance(event, events.DecodeFailed | events.StreamFailed):
            self._metrics.decode_failures.labels(event.code).inc()
        for action in actions:
            if isinstance(action, Send):
                self._told(action.message, at)

    def _told(self, message: dict[str, Any], at: int) -> None:
        match message["type"]:
            case "caption.partial":
                self._metrics.partials.inc()
                self._shown(message, at)
            case "caption.final":
                self._metrics.finals.inc()
                self._shown(message, at)
                for _, end_ms in _words(message):
                    self._observe(self._lags.final, end_ms, at)
            case "speech.started":
                self._speech_ms[message["channel"]] = message["at_ms"]
            case "speech.ended":
                speech_ms = message["at_ms"] - self._speech_ms[message["channel"]]
                self._metrics.speech_seconds.inc(max(0, speech_ms) / 1000)
            case "route.changed":
                self._metrics.route_changes.labels(message["reason"]).inc()
                self._lags = self._metrics.lags(message["to"]["engine"], message["to"]["model"])

    def _shown(self, message: dict[str, Any], at: int) -> None:
        """Words whose middle lies behind all that was shown before are shown for the first time; ends still move."""
        channel = message["channel"]
        for start_ms, end_ms in _words(message):
            if start_ms + end_ms > 2 * self._shown_ms[channel]:
                self._observe(self._lags.shown, end_ms, at)
        self._shown_ms[channel] = max(self._shown_ms[channel], message["end_ms"])

    def _observe(self, histogram: Histogram, end_ms: int, at: int) -> None:
        came = self._arrivals.of(min(end_ms * SAMPLE_RATE // 1000, self._position))
        if came is not None:
            histogram.observe(max(0, at - came) / 1000)


def _words(message: dict[str, Any]) -> Iterable[tuple[int, int]]:
    """Starts and ends of a message's words; where the client wanted none, the end of the last one stands for all."""
    words = message.get("words")
    if words is None:
        return [(message["end_ms"], message["end_ms"])]
    return [(word["start_ms"], word["end_ms"]) for word in words]
