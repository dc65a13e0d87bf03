"""Addresses that people type, and what a server's refusals become."""

from __future__ import annotations

import pytest

from speechlane.client import Address
from speechlane.client.address import authorization, refusal
from speechlane.errors import EngineFailed, InvalidInput, NotAuthenticated, NotFound, OverCapacity, SpeechlaneError

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("typed", "http", "websocket"),
    [
        ("http://127.0.0.1:8700", "http://127.0.0.1:8700", "ws://127.0.0.1:8700/v1/live"),
        ("http://127.0.0.1:8700/", "http://127.0.0.1:8700", "ws://127.0.0.1:8700/v1/live"),
        ("ws://host/v1/live", "http://host", "ws://host/v1/live"),
        ("wss://host/speech", "https://host/speech", "wss://host/speech/v1/live"),
        ("https://[::1]:1/", "https://[::1]:1", "wss://[::1]:1/v1/live"),
    ],
)
def test_one_address_serves_both_lanes(typed, http, websocket):
    """Any of the four schemes, with or without the live path, gives the base of both lanes."""
    address = Address(typed)
    assert (address.http(), address.websocket("/v1/live")) == (http, websocket)


@pytest.mark.parametrize(
    "typed", ["", "127.0.0.1:8700", "ftp://host", "http://", "http://[x", "http://h:99999", "http://h?a=1"]
)
def test_what_is_no_address_is_refused(typed):
    """A key in the query, a missing scheme or a bad port is told before anything is sent."""
    with pytest.raises(InvalidInput, match="is no server address") as caught:
        Address(typed)
    assert (caught.value.code, caught.value.field) == ("invalid_url", "url")


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:1", True),
        ("ws://[::1]", True),
        ("http://localhost", True),
        ("http://10.0.0.1", False),
        ("https://example.org", False),
    ],
)
def test_loopback_is_known_so_that_no_proxy_is_asked(url, here):
    """A configured proxy cannot reach this machine's own server."""
    assert Address(url).on_this_machine is here


def test_the_key_goes_into_a_header():
    """Keys travel as Bearer tokens, never in the URL; without one no header is sent."""
    assert authorization("secret") == {"Authorization": "Bearer secret"}
    assert authorization(None) == {}


@pytest.mark.parametrize(
    ("fields", "status", "kind"),
    [
        ({"code": "bad_key", "fault": "client"}, 4401, NotAuthenticated),
        ({"code": "bad_key", "fault": "client"}, 401, NotAuthenticated),
        ({"code": "no_job", "fault": "client"}, 404, NotFound),
        ({"code": "full", "fault": "server", "retry_after_ms": 500}, 4429, OverCapacity),
        ({"code": "unsupported_encoding", "fault": "client"}, 4400, InvalidInput),
        ({"code": "engine_failed", "fault": "engine"}, 1011, EngineFailed),
        ({"code": "broken", "fault": "server"}, 1011, SpeechlaneError),
    ],
)
def test_a_refusal_keeps_its_data(fields, status, kind):
    """The error has the kind that fits and every field that the server told."""
    told = {**fields, "message": "The fact. The next step.", "field": "x", "limit": 3, "retryable": True}
    error = refusal(told, status=status)
    assert type(error) is kind
    assert (error.code, error.message, error.field, error.limit) == (fields["code"], told["message"], "x", 3)
    assert (error.retryable, error.retry_after_ms) == (True, fields.get("retry_after_ms"))


def test_a_problem_document_says_its_sentence_in_detail():
    """RFC 9457 names it ``detail``; a body that is no problem document still gives an error with the status."""
    assert refusal({"code": "c", "detail": "The fact."}, status=422).message == "The fact."
    assert "502" in refusal({}, status=502).message
