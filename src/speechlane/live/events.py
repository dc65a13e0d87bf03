"""What can happen to a session, in the past tense. ``at`` is whole milliseconds since the session began."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from speechlane.engine import Hypothesis, StreamResult
from speechlane.router import Route

Step = Literal["slower_partials", "finals_only", "offload"]
LADDER: tuple[Step, ...] = get_args(Step)
"""The steps of overload, the mildest first."""


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """The client's start was accepted; always the first event."""

    at: int


@dataclass(frozen=True, slots=True)
class AudioReceived:
    """Audio was decoded and scored.

    ``position``: samples received so far on every timeline. ``scores``: for each timeline the speech probabilities
    of the frames that this audio completed. ``received_bytes``: the client's bytes so far. ``stored_bytes``: how
    many of them a death of the process would not take; None where nothing is stored.
    """

    at: int
    position: int
    received_bytes: int
    scores: tuple[tuple[float, ...], ...]
    stored_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class HypothesisReceived:
    """The engine answered a request. ``audio_sha256`` is the digest of the samples it was handed."""

    at: int
    request: int
    hypothesis: Hypothesis
    audio_sha256: str


@dataclass(frozen=True, slots=True)
class DecodeFailed:
    """The engine failed a request."""

    at: int
    request: int
    code: str
    message: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class StreamHeard:
    """A stream told a result. ``audio_sha256``: digest of the samples that a final result covers, else None."""

    at: int
    stream: int
    result: StreamResult
    audio_sha256: str | None


@dataclass(frozen=True, slots=True)
class StreamFailed:
    """A stream could not be opened, or broke."""

    at: int
    stream: int
    code: str
    message: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class FlushRequested:
    """The client asked that all it has sent be settled."""

    at: int
    id: str | None


@dataclass(frozen=True, slots=True)
class FinishRequested:
    """The client has no more audio; ``dropped_bytes`` of a partial sample were left over."""

    at: int
    dropped_bytes: int = 0


@dataclass(frozen=True, slots=True)
class PingReceived:
    at: int
    id: str | None


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The client's connection is gone without `FinishRequested`; it may come back."""

    at: int


@dataclass(frozen=True, slots=True)
class ConnectionResumed:
    """A new connection takes the session up, whether or not the one before is known to be gone.

    ``after_seq``: the last durable message that the client has. ``stored_bytes``: where its stream goes on.
    """

    at: int
    after_seq: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class ServerRestarted:
    """The process that held the session died or stopped; another took it up. What engines were asked is lost.

    ``routes``: all of them, where their engines are others by now (a library of another version, another device) and
    the models the same; else empty.
    """

    at: int
    routes: tuple[Route, ...] = ()


@dataclass(frozen=True, slots=True)
class ProtocolBroken:
    """The client sent what the contract does not know; ``message`` tells it what and what to send instead."""

    at: int
    code: str
    message: str
    field: str | None


@dataclass(frozen=True, slots=True)
class StorageFilled:
    """What the client sent next would take more room on the disk than a session may have; it was not taken."""

    at: int


@dataclass(frozen=True, slots=True)
class LoadChanged:
    """The engine of the first route is on another step of overload, None for none; ``lag_ms``: its queue's wait."""

    at: int
    step: Step | None
    lag_ms: int


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The moment that `next_deadline` named has come."""

    at: int


@dataclass(frozen=True, slots=True)
class ShutdownRequested:
    """The server is stopping: settle what was heard, then close; where it is offered, the session may be resumed."""

    at: int


Event = (
    SessionStarted
    | AudioReceived
    | HypothesisReceived
    | DecodeFailed
    | StreamHeard
    | StreamFailed
    | FlushRequested
    | FinishRequested
    | PingReceived
    | ConnectionLost
    | ConnectionResumed
    | ServerRestarted
    | ProtocolBroken
    | StorageFilled
    | LoadChanged
    | DeadlinePassed
    | ShutdownRequested
)
