"""The event log: one JSON object a line, enough to make every message of a session again.

The first line is the head (`SessionHead`), then come events and the messages they caused, in order. No sound is in
it: decisions rest on positions and speech scores. A log whose last line was cut off by a crash is read up to there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields, is_dataclass
from functools import cache
from json.encoder import encode_basestring
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from speechlane.errors import InvalidInput
from speechlane.live import events
from speechlane.live.config import SessionHead

FORMAT = "speechlane.log/1"
_EVENTS: dict[str, type] = {kind.__name__: kind for kind in get_args(events.Event)}


_ATOMS = frozenset({int, float, str, bool, type(None)})


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


@cache
def _reader(kind: type) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def head_line(head: SessionHead) -> str:
    """The log's first line. Sets of languages are sorted, so that equal heads are equal text."""
    fields = asdict(head)
    for route in fields["routes"]:
        route["capabilities"]["languages"] = sorted(route["capabilities"]["languages"])
    return _line({"log": FORMAT, "head": fields})


def event_line(event: events.Event) -> str:
    if type(event) is events.AudioReceived:
        # Sixteen a second and session: written by hand, in the same form, at a fifth of the cost.
        scores = ",".join(f"[{','.join(map(float.__repr__, channel))}]" for channel in event.scores)
        stored = "null" if event.stored_bytes is None else event.stored_bytes
        return (
            f'{{"event":"AudioReceived","at":{event.at},"position":{event.position},'
            f'"received_bytes":{event.received_bytes},"scores":[{scores}],"stored_bytes":{stored}}}\n'
        )
    return _line({"event": type(event).__name__, **_plain(event)})


def _plain(value: Any) -> Any:
    """What `asdict` gives, without copying what never changes."""
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is tuple:
        return [_plain(item) for item in value]
    if kind is frozenset:
        return sorted(value)
    return {name: _plain(getattr(value, name)) for name in _names(kind)} if is_dataclass(kind) else value


def message_line(text: str) -> str:
    """``text`` is the message as it was sent."""
    return f'{{"message":{encode_basestring(text)}}}\n'


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"


def read_log(lines: Iterable[str]) -> Iterator[SessionHead | events.Event | str]:
    """The head, then events (as values) and messages (as the text that was sent), in order.

    Raises:
        InvalidInput: ``not_a_log`` when the first line is no head of this format, ``broken_log`` with the line's
            number when a line before the last cannot be read.
    """
    previous: tuple[int, str] | None = None
    for number, line in enumerate(lines, start=1):
        if previous is not None:
            yield _value(*previous)
        previous = (number, line)
    if previous is None:
        raise InvalidInput("not_a_log", "The log is empty. Give the events.jsonl of a live session.", field="log")
    if previous[1].endswith("\n") or previous[0] == 1:
        yield _value(*previous)


def _value(number: int, line: str) -> SessionHead | events.Event | str:
    try:
        fields = json.loads(line)
        if number == 1:
            if fields.get("log") != FORMAT:
                raise InvalidInput(
                    "not_a_log",
                    f"The first line is no head of a {FORMAT} log. Give the events.jsonl of a live session.",
                    field="log",
                )
            head: SessionHead = _reader(SessionHead).validate_python(fields["head"])
            return head
        if "message" in fields and "event" not in fields:
            return str(fields["message"])
        value: events.Event = _reader(_EVENTS[fields.pop("event")]).validate_python(fields)
    except (ValueError, KeyError, AttributeError, ValidationError) as error:
        raise InvalidInput(
            "broken_log", f"Line {number} of the log cannot be read: {error}. Restore the log from a copy.", field="log"
        ) from error
    return value
