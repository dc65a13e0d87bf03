"""Who may call: keys to tenants, and who may call where there are no keys."""

from __future__ import annotations

import pytest
from starlette.requests import Request
from starlette.websockets import WebSocket

from speechlane.errors import NotAuthenticated
from speechlane.server.auth import Authenticator

pytestmark = pytest.mark.unit

KEYS = {"red": "red-key-red-key-red", "blue": "blue-key-blue-key"}


def request(query: str = "", **headers: str) -> Request:
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in {"host": "127.0.0.1:8700", **headers}.items()]
    return Request({"type": "http", "headers": pairs, "query_string": query.encode(), "path": "/v1/jobs"})


def socket(*subprotocols: str, **headers: str) -> WebSocket:
    async def nothing(*_):
        raise AssertionError("authentication reads no message")

    pairs = [(name.encode(), value.encode()) for name, value in {"host": "127.0.0.1:8700", **headers}.items()]
    scope = {"type": "websocket", "headers": pairs, "query_string": b"", "subprotocols": list(subprotocols)}
    return WebSocket(scope, nothing, nothing)


def refused(code: str):
    return pytest.raises(NotAuthenticated, check=lambda error: error.code == code and len(error.message) > 20)


@pytest.mark.parametrize(
    ("header", "tenant"), [("Bearer red-key-red-key-red", "red"), ("bearer blue-key-blue-key", "blue")]
)
def test_a_key_names_its_tenant(header, tenant) -> None:
    """Each key is one tenant's; the scheme's case does not matter (RFC 9110, section 11.1)."""
    assert Authenticator(KEYS).http_tenant(request(authorization=header)) == tenant


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "key_required"),
        ("Bearer ", "key_required"),
        ("Basic cmVkOmtleQ==", "key_required"),
        ("Bearer red-key-red-key-re", "unknown_key"),
        ("Bearer red-key-red-key-red blue", "unknown_key"),
        ("Bearer kl\u00fc", "unknown_key"),
    ],
)
def test_a_missing_or_wrong_key_is_refused(header, code) -> None:
    """No key, another scheme, a part of a key and bytes beyond ASCII are all refused, never an internal error."""
    with refused(code):
        Authenticator(KEYS).http_tenant(request(**({"authorization": header} if header else {})))


@pytest.mark.parametrize("name", ["key", "api_key", "token"])
@pytest.mark.parametrize("keys", [KEYS, {}], ids=["with keys", "without keys"])
def test_a_key_in_the_url_is_refused(name, keys) -> None:
    """Also beside a good header: a key in a URL is as good as published."""
    with refused("key_in_url"):
        Authenticator(keys).http_tenant(request(f"{name}=x", authorization="Bearer red-key-red-key-red"))


def test_a_browser_sends_its_key_as_a_subprotocol() -> None:
    """The key follows speechlane.key. among the offered subprotocols; a header works too."""
    authenticator = Authenticator(KEYS)
    assert authenticator.websocket_tenant(socket("speechlane.v1", "speechlane.key.blue-key-blue-key")) == "blue"
    assert authenticator.websocket_tenant(socket(authorization="Bearer red-key-red-key-red")) == "red"
    with refused("key_required"):
        authenticator.websocket_tenant(socket("speechlane.v1"))
    with refused("unknown_key"):
        authenticator.websocket_tenant(socket("speechlane.v1", "speechlane.key.green"))


@pytest.mark.parametrize("host", ["127.0.0.1:8700", "127.9.9.9", "localhost", "LOCALHOST:1", "[::1]:8700"])
def test_without_keys_this_machine_is_the_default_tenant(host) -> None:
    """Any loopback address and localhost serve, for HTTP and WebSocket."""
    assert Authenticator({}).http_tenant(request(host=host)) == "default"
    assert Authenticator({}).websocket_tenant(socket(host=host)) == "default"


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "192.168.0.4:8700", "localhost.evil", "", "[", "[::1", "a b"]
)
def test_without_keys_other_hosts_are_refused(host) -> None:
    """A name that is made to resolve to 127.0.0.1 does not pass (DNS rebinding)."""
    with refused("host_refused"):
        Authenticator({}).http_tenant(request(host=host))


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost.evil.example", "http://[", "file://"]
)
def test_without_keys_pages_of_other_sites_are_refused(origin) -> None:
    """Cross-site requests and sockets are told by their Origin."""
    with refused("origin_refused"):
        Authenticator({}).websocket_tenant(socket(origin=origin))


def test_without_keys_local_and_allowed_pages_may_call() -> None:
    """A page served from this machine, or from an origin that the operator allowed."""
    authenticator = Authenticator({}, ["https://captions.example.org"])
    for origin in ("http://localhost:3000", "http://127.0.0.1:8700", "https://captions.example.org"):
        assert authenticator.websocket_tenant(socket(origin=origin)) == "default"


def test_with_keys_and_allowed_origins_other_pages_are_refused() -> None:
    """A key in a page from elsewhere does not help it; a program, which sends no Origin, needs its key alone."""
    authenticator = Authenticator(KEYS, ["https://captions.example.org"])
    key = "speechlane.key.blue-key-blue-key"
    for origin in ("https://evil.example", "null", "http://localhost:3000"):
        with refused("origin_refused"):
            authenticator.websocket_tenant(socket(key, origin=origin))
    assert authenticator.websocket_tenant(socket(key, origin="https://captions.example.org")) == "blue"
    assert authenticator.websocket_tenant(socket(key)) == "blue"


def test_with_keys_alone_host_and_origin_do_not_matter() -> None:
    """A key is not sent by a browser on its own, so it alone decides where no origins are named."""
    call = request(host="speech.example.org", origin="https://app.example", authorization="Bearer red-key-red-key-red")
    assert Authenticator(KEYS).http_tenant(call) == "red"
