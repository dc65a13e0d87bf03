"""Where a server is, and what its refusals become: shared by both lanes' clients."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from speechlane.errors import (
    Conflict,
    EngineFailed,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    OverCapacity,
    SpeechlaneError,
)

_SCHEMES = frozenset({"http", "https", "ws", "wss"})


@dataclass(frozen=True, slots=True)
class Address:
    """A server's base address, from what a person types: ``http://host:port``, ``ws://...``, with or without path.

    Raises:
        InvalidInput: ``invalid_url`` when it is no http, https, ws or wss address with a host.
    """

    url: str

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            usable = parts.scheme in _SCHEMES and parts.hostname and not (parts.query or parts.fragment)
            usable = usable and parts.port != 0  # reading the port also proves that it is a number up to 65535
        except ValueError:
            usable = False
        if not usable:
            raise InvalidInput(
                "invalid_url",
                f"{self.url!r} is no server address. Give one such as http://127.0.0.1:8700.",
                field="url",
            )

    def http(self, path: str = "") -> str:
        return self._with_scheme("https" if self._encrypted else "http", path)

    def websocket(self, path: str = "") -> str:
        return self._with_scheme("wss" if self._encrypted else "ws", path)

    @property
    def on_this_machine(self) -> bool:
        """Whether the address is loopback, which no proxy can reach for us."""
        host = urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    @property
    def _encrypted(self) -> bool:
        return urlsplit(self.url).scheme in {"https", "wss"}

    def _with_scheme(self, scheme: str, path: str) -> str:
        parts = urlsplit(self.url)
        base = parts.path.rstrip("/").removesuffix("/v1/live")
        return urlunsplit((scheme, parts.netloc, base + path, "", ""))


def authorization(key: str | None) -> dict[str, str]:
    """The header that carries a key; empty without one."""
    return {"Authorization": f"Bearer {key}"} if key else {}


def unreachable(address: Address, reason: object) -> SpeechlaneError:
    """No server answered at the address."""
    return SpeechlaneError(
        "unreachable",
        f"No Speechlane server answers at {address.http()} ({reason}). Start one with speechlane serve, "
        "or name another with --url.",
        field="url",
        retryable=True,
    )


def refusal(fields: Mapping[str, Any], *, status: int | None = None) -> SpeechlaneError:
    """The error behind a live ``error`` message or a problem+json body (whose sentence is ``detail``).

    ``status`` is the HTTP status or the WebSocket close code that came with it.
    """
    by_status: dict[int | None, type[SpeechlaneError]] = {
        401: NotAuthenticated,
        4401: NotAuthenticated,
        404: NotFound,
        4404: NotFound,
        409: Conflict,
        4409: Conflict,
        429: OverCapacity,
        4429: OverCapacity,
    }
    by_fault: dict[str | None, type[SpeechlaneError]] = {"client": InvalidInput, "engine": EngineFailed}
    kind = by_status.get(status) or by_fault.get(fields.get("fault"), SpeechlaneError)
    return kind(
        str(fields.get("code") or "server_error"),
        str(fields.get("message") or fields.get("detail") or f"The server refused without saying why ({status})."),
        field=fields.get("field"),
        limit=fields.get("limit"),
        retryable=fields.get("retryable"),
        retry_after_ms=fields.get("retry_after_ms"),
    )
