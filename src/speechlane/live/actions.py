"""What a session wishes, in the imperative; a driver carries the actions out in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from speechlane.engine import DecodeOptions, Priority
from speechlane.provenance import ChunkRecord


@dataclass(frozen=True, slots=True)
class Decode:
    """Decode the samples [start, end) of a timeline and return a `HypothesisReceived` with this ``request``."""

    request: int
    route: int
    """Which of the session's routes decodes it."""
    channel: int
    start: int
    end: int
    padded: int
    language: str | None
    prefix: tuple[int, ...]
    options: DecodeOptions
    priority: Priority
    keyterms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Withdraw:
    """The answer to this request is no longer wanted; it need not be decoded."""

    request: int


@dataclass(frozen=True, slots=True)
class OpenStream:
    """Open a stream on a route whose engine listens to one; its first sample is the timeline's ``start``."""

    stream: int
    route: int
    channel: int
    start: int
    language: str | None
    keyterms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SendAudio:
    """Send the timeline's samples [start, end) to the stream; what is sent follows on without gap."""

    stream: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class FlushStream:
    """Ask the stream to settle all that was sent: a final `StreamHeard` that ends there answers."""

    stream: int


@dataclass(frozen=True, slots=True)
class CloseStream:
    """The stream is no longer needed."""

    stream: int


@dataclass(frozen=True, slots=True)
class RecordChunk:
    """Append this record to the registry, durably, before any later action."""

    record: ChunkRecord


@dataclass(frozen=True, slots=True)
class Send:
    """Send this message to the client. A durable one carries ``seq`` and is stored before it is sent."""

    message: dict[str, Any]
    durable: bool


@dataclass(frozen=True, slots=True)
class Resend:
    """Send the durable messages with ``after_seq`` < ``seq`` <= ``last_seq`` once more, as they were stored."""

    after_seq: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class Release:
    """Samples of the timeline before this position are no longer needed."""

    channel: int
    before: int


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection with this code; nothing follows, unless the session ``waits`` to be taken up by another."""

    code: int
    reason: str
    waits: bool = False


StreamAction = OpenStream | SendAudio | FlushStream | CloseStream
"""What is wished of an engine that listens to a stream."""

Action = Decode | Withdraw | StreamAction | RecordChunk | Send | Resend | Release | Close
