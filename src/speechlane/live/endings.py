"""How sessions end, and what their clients are told of it: close code, reason, error."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from speechlane.engine.checks import QUEUE_FULL
from speechlane.errors import EngineFailed, InvalidInput, OverCapacity, SpeechlaneError, TooLarge
from speechlane.live.config import SessionLimits
from speechlane.live.events import DecodeFailed, StreamFailed


@dataclass(frozen=True, slots=True)
class Ending:
    """How a session closes once all is settled."""

    code: int
    reason: str
    problem: SpeechlaneError | None = None


FINISHED = Ending(1000, "finished")
LOST = Ending(1000, "connection lost")


MAX_FLUSHES = 1_000
"""Flushes that may wait for their answer in one session."""

FLOODED = Ending(
    1008,
    "too many flushes",
    InvalidInput(
        "too_many_flushes",
        f"More than {MAX_FLUSHES} audio.flush wait for their answers. Wait for audio.flushed before sending more.",
        field="audio.flush",
        limit=MAX_FLUSHES,
    ),
)


def restarting(*, resumable: bool) -> OverCapacity:
    """What a client is told whose session the server's stop interrupts."""
    step = "Resume the session once the server is back." if resumable else "Open a new session for what comes."
    return OverCapacity(
        "server_restart", f"The server is restarting; what was settled stands. {step}", retry_after_ms=1_000
    )


def partial_sample(dropped: int, size: int) -> InvalidInput:
    """The stream ended amid a sample."""
    return InvalidInput(
        "partial_sample",
        f"The last {dropped} bytes are less than one sample frame of {size} bytes and were dropped. End the audio on a"
        " whole sample.",
        field="audio",
        limit=size,
    )


def keyterms_unsupported(pin: str) -> InvalidInput:
    """The engine hears names no likelier for being told them."""
    return InvalidInput(
        "keyterms_unsupported",
        f"{pin} takes no keyterms; the session goes on without them.",
        field="keyterms",
        limit=0,
    )


def idle(limits: SessionLimits) -> Ending:
    """Nothing came for too long."""
    step = " Resume the session to go on." if limits.resume_window_ms else ""
    problem = InvalidInput(
        "idle_timeout",
        f"Nothing came for {limits.idle_timeout_ms} ms. Send audio, silence or a ping to keep a session open.{step}",
        field="idle_timeout_ms",
        limit=limits.idle_timeout_ms,
    )
    return Ending(4408, "idle too long", problem)


def overdue(due: AbstractSet[str], limits: SessionLimits) -> Ending | None:
    """How a session ends that is open for too long, or whose client is gone, by the deadlines ``due``."""
    if "long" in due:
        return too_long(limits)
    return LOST if "lost" in due else None


def failed(pin: str, event: DecodeFailed | StreamFailed) -> SpeechlaneError:
    """An engine fails, and has for too long, or for good: asking this session again is of no use."""
    message = f"{pin}: {event.message}"
    if event.code == QUEUE_FULL:
        return OverCapacity(QUEUE_FULL, message, retryable=False)
    return EngineFailed("engine_failed", message, retryable=False)


def stalled(pin: str, patience_ms: int) -> EngineFailed:
    """An engine does not answer, however often this session is taken up."""
    return EngineFailed(
        "engine_stalled",
        f"{pin} has not answered for {patience_ms} ms. Open a new session later.",
        limit=patience_ms,
        retryable=False,
    )


def full(limits: SessionLimits) -> Ending:
    """The session has stored as much as one may."""
    most = limits.max_session_bytes
    problem = TooLarge(
        "session_too_large",
        f"The session has reached its limit of {most} stored bytes. Open a new one and go on from here; a smaller"
        " encoding lasts longer.",
        field="max_session_bytes",
        limit=most,
    )
    return Ending(4413, "session too large", problem)


def too_long(limits: SessionLimits) -> Ending:
    """The session holds as much audio as one may, or has been open for as long."""
    longest = limits.max_session_ms
    problem = TooLarge(
        "session_too_long",
        f"The session has reached its limit of {longest} ms, of audio or since its start. Open a new one and go on"
        " from here.",
        field="max_session_ms",
        limit=longest,
    )
    return Ending(4413, "session too long", problem)
