"""What a refused message of the live lane tells: the message's type, the field, the limit, what to send instead."""

from __future__ import annotations

import json

import pytest

from speechlane.errors import InvalidInput
from speechlane.server.live_schema import read_control, read_start

pytestmark = pytest.mark.unit

START = {"type": "session.start", "audio": {"encoding": "pcm_s16le", "sample_rate": 16_000}}
RESUME = {"type": "session.resume", "session": "ses_a", "resume_token": "t", "after_seq": 0}


def refused(read, message: dict) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        read(json.dumps(message))
    return caught.value


@pytest.mark.parametrize(
    ("read", "message", "field", "limit", "step"),
    [
        (read_start, START | {"audio": 3}, "audio", None, "Send an object."),
        (read_start, START | {"route": []}, "route", None, "Send an object."),
        (read_start, START | {"language": 3}, "language", None, "Send text."),
        (read_start, START | {"interim": "yes"}, "interim", None, "Send true or false."),
        (read_start, START | {"endpointing_ms": 250.5}, "endpointing_ms", None, "Send a whole number."),
        (read_start, START | {"endpointing_ms": 3}, "endpointing_ms", 200, "Send at least 200."),
        (read_start, START | {"endpointing_ms": 9_999}, "endpointing_ms", 5_000, "Send at most 5000."),
        (read_start, START | {"keyterms": ["a" * 101]}, "keyterms.0", 100, "Send at most 100 characters."),
        (read_start, START | {"keyterms": ["a"] * 101}, "keyterms", 100, "Send at most 100 of them."),
        (read_start, START | {"route": {"max_cost_per_hour": "x"}}, "route.max_cost_per_hour", None, "Send a number."),
        (read_start, RESUME | {"after_seq": -1}, "after_seq", 0, "Send at least 0."),
        (read_control, {"type": "audio.flush", "id": "x" * 201}, "id", 200, "Send at most 200 characters."),
        (read_control, {"type": "ping", "id": 3}, "id", None, "Send text."),
    ],
)
def test_a_wrong_value_is_told_with_the_next_step(read, message, field, limit, step) -> None:
    """In the contract's words, not in those of the library that checks."""
    error = refused(read, message)
    assert (error.code, error.field, error.limit) == ("invalid_field", field, limit)
    assert error.message == f"{message['type']}: {field} is not valid. {step}"


def test_what_a_client_sends_is_not_sent_back_whole() -> None:
    """Of a field's name, a type and a language of thousands of characters the error shows the beginning."""
    long = "x" * 3_000
    for message in (START | {long: 1}, START | {"language": long}, {"type": long}):
        error = refused(read_start, message)
        assert len(error.message) < 400
        assert len(error.field) <= 100


@pytest.mark.parametrize("kind", [["session.start"], {}, None, 7])
def test_a_type_that_is_no_text_is_a_bad_start(kind) -> None:
    """Any JSON value may stand there; none is a fault of the server."""
    assert refused(read_start, {"type": kind}).code == "bad_start"
    assert refused(read_control, {"type": kind}).code == "unknown_type"


@pytest.mark.parametrize("message", [START, RESUME])
def test_a_second_start_is_told_as_one(message) -> None:
    """Its type is known; it comes at the wrong moment."""
    assert refused(read_control, message).code == "already_started"
