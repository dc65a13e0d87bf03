"""Who is calling: keys to tenants, for HTTP and WebSocket alike (docs/protocol.md, sections 1 and 2).

Without keys the server is one person's, on their own machine. Then nothing but the address guards it, and a web page
open in that person's browser reaches the same address: by a cross-site request (told by ``Origin``) or by a name of
its own that resolves to 127.0.0.1 (DNS rebinding, told by ``Host``). Both are refused.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket

from speechlane.errors import NotAuthenticated

DEFAULT_TENANT = "default"
KEY_SUBPROTOCOL = "speechlane.key."
REFUSED_IN_URL = ("key", "api_key", "apikey", "access_token", "token")


class Authenticator:
    """Names the tenant of a call, or refuses it.

    Args:
        keys: tenant -> key; none at all means that every call is tenant ``default``'s, from this machine alone.
        allowed_origins: web origins (``https://captions.example.org``) whose pages may call. With keys, none at all
            means any page that has a key; without keys, pages of this machine may call, too.
    """

    def __init__(self, keys: Mapping[str, str], allowed_origins: Collection[str] = ()) -> None:
        self._keys = {tenant: key.encode() for tenant, key in keys.items()}
        self._allowed_origins = frozenset(allowed_origins)

    def http_tenant(self, request: HTTPConnection) -> str:
        """The tenant of an HTTP request, by its ``Authorization: Bearer KEY``.

        Raises:
            NotAuthenticated: ``key_in_url``, ``key_required``, ``unknown_key``, ``host_refused``, ``origin_refused``.
        """
        return self._tenant(request, _bearer(request.headers))

    def websocket_tenant(self, socket: WebSocket) -> str:
        """The tenant of a WebSocket handshake, by the same header or, for browsers, by a subprotocol.

        Raises:
            NotAuthenticated: as `http_tenant`.
        """
        offered = (name for name in socket.scope.get("subprotocols", []) if name.startswith(KEY_SUBPROTOCOL))
        in_subprotocol = next((name.removeprefix(KEY_SUBPROTOCOL) for name in offered), None)
        return self._tenant(socket, _bearer(socket.headers) or in_subprotocol)

    def _tenant(self, connection: HTTPConnection, key: str | None) -> str:
        for name in REFUSED_IN_URL:
            if name in connection.query_params:
                raise NotAuthenticated(
                    "key_in_url",
                    f"{name}: a key in a URL ends up in logs and histories. Send it as Authorization: Bearer KEY, and"
                    " replace the one that was sent.",
                    field=name,
                )
        if not self._keys:
            self._check_local(connection.headers)
            return DEFAULT_TENANT
        origin = connection.headers.get("origin")
        if self._allowed_origins and origin is not None and origin not in self._allowed_origins:
            raise NotAuthenticated(
                "origin_refused",
                f"Pages of {origin[:200]!r} may not call this server. Ask the operator to add the origin to"
                " allowed_origins.",
                field="origin",
            )
        if key is None:
            raise NotAuthenticated(
                "key_required", "This server wants a key. Send it as Authorization: Bearer KEY.", field="authorization"
            )
        # Every key is compared, each in constant time: how long it takes tells nothing.
        presented = key.encode("utf-8", "surrogateescape")
        matching = [tenant for tenant, known in self._keys.items() if hmac.compare_digest(known, presented)]
        if not matching:
            raise NotAuthenticated(
                "unknown_key", "The key is not one of this server's. Check it with the operator.", field="authorization"
            )
        return matching[0]

    def _check_local(self, headers: Mapping[str, str]) -> None:
        origin = headers.get("origin")
        if origin is not None and origin not in self._allowed_origins and not _is_local(origin):
            raise NotAuthenticated(
                "origin_refused",
                f"Pages of {origin[:200]!r} may not call this server: it has no keys and serves this machine alone. Add"
                " the origin to allowed_origins, or set api_keys.",
                field="origin",
            )
        host = headers.get("host", "")
        if not _is_local(f"//{host}"):
            raise NotAuthenticated(
                "host_refused",
                f"The request names the host {host!r}: without keys this server answers only to 127.0.0.1, [::1] and"
                " localhost. Use one of these, or set api_keys.",
                field="host",
            )


def _bearer(headers: Mapping[str, str]) -> str | None:
    """The key of an ``Authorization`` header (RFC 6750, section 2.1), None without one or in another scheme."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


def _is_local(url: str) -> bool:
    """Whether a URL's host is this machine, by a name that no outsider can make point here."""
    try:
        name = urlsplit(url).hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
