"""Every error that Speechlane tells: what happened, whose fault it is, and what to do next.

An error holds data; its text is made from that data. ``code`` is the stable, machine-readable name that clients
match on. The message is one or two sentences: the fact with its number, then the next step. Foreign exceptions
(a database's, a decoder's, a hub's) are mapped to these once, at the edge where they enter.
"""

from __future__ import annotations

from typing import Literal

Fault = Literal["client", "engine", "server"]
Limit = int | float | str | list[str] | None


class SpeechlaneError(Exception):
    """Root of the tree.

    Args:
        code: stable name in snake_case, e.g. ``"unsupported_language"``.
        message: the fact, the number and the next step, for a person.
        field: name of the input field at fault (dotted path), or None.
        limit: the limit that was passed (a number with its unit in the message, or the allowed values), or None.
        retryable: the same request may succeed later; subclasses set the default.
        retry_after_ms: how long to wait before trying again, when known.
    """

    fault: Fault = "server"
    retryable: bool = False
    http_status: int = 500

    def __init__(
        self,
        code: str,
        message: str,
        *,
        field: str | None = None,
        limit: Limit = None,
        retryable: bool | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.field = field
        self.limit = limit
        if retryable is not None:
            self.retryable = retryable
        self.retry_after_ms = retry_after_ms

    def __str__(self) -> str:
        return self.message

    def as_fields(self) -> dict[str, object]:
        """The error's data under the names of the wire contract (``error`` message, problem+json members)."""
        return {
            "code": self.code,
            "message": self.message,
            "field": self.field,
            "limit": self.limit,
            "retryable": self.retryable,
            "retry_after_ms": self.retry_after_ms,
            "fault": self.fault,
        }


class InvalidInput(SpeechlaneError):
    """A request, option or recording that cannot be accepted as it is."""

    fault: Fault = "client"
    http_status = 422


class InvalidAudio(InvalidInput):
    """A file or stream that is not readable audio, is empty, or is truncated beyond use."""


class TooLarge(InvalidInput):
    """An input over a stated limit of size or duration."""

    http_status = 413


class NotAuthenticated(SpeechlaneError):
    """The key is missing or wrong."""

    fault: Fault = "client"
    http_status = 401


class NotFound(SpeechlaneError):
    """The named thing does not exist, or is not the caller's."""

    fault: Fault = "client"
    http_status = 404


class Conflict(SpeechlaneError):
    """The thing's present state does not allow the call."""

    fault: Fault = "client"
    http_status = 409


class OverCapacity(SpeechlaneError):
    """No room now; try again after ``retry_after_ms``."""

    http_status = 429
    retryable = True


class EngineFailed(SpeechlaneError):
    """An engine raised, stalled or answered nonsense."""

    fault: Fault = "engine"
    retryable = True
    http_status = 502


class ModelUnavailable(SpeechlaneError):
    """Weights are missing, or no source could deliver them."""

    http_status = 503


class DigestMismatch(ModelUnavailable):
    """A file does not have the pinned sha256; it is refused and not kept."""


class SessionLost(SpeechlaneError):
    """A live session whose connection broke and that cannot be taken up again.

    Args:
        message: why, and what to do.
        session: the session's id, None when it was never opened.
        lost_from_ms: whole milliseconds of audio from which on captions did not arrive.
    """

    retryable = True

    def __init__(self, message: str, *, session: str | None, lost_from_ms: int) -> None:
        super().__init__("connection_lost", message)
        self.session = session
        self.lost_from_ms = lost_from_ms


class StorageFailed(SpeechlaneError):
    """The data folder, database or object store cannot be read or written."""

    http_status = 507


class ConfigurationInvalid(SpeechlaneError):
    """A setting is unknown, malformed or contradicts another."""

    fault: Fault = "client"


class AddressInUse(SpeechlaneError):
    """The port or the data folder is held by another process."""

    fault: Fault = "client"
