"""JSON from outside, read strictly: what is accepted can be stored, logged and sent again."""

from __future__ import annotations

import json
from typing import Any

from speechlane.errors import InvalidInput

MAX_DEPTH = 32


def read_json(text: bytes, field: str) -> Any:
    """JSON as RFC 8259 has it: UTF-8, no NaN, no unpaired surrogates, nesting within `MAX_DEPTH`.

    Raises:
        InvalidInput: ``invalid_json``.
    """
    try:
        value = json.loads(text.decode("utf-8"), parse_constant=_refuse_constant)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
        depth = _depth(value)
    except RecursionError:
        depth = MAX_DEPTH + 1
    except ValueError as error:
        raise InvalidInput(
            "invalid_json", f"{field} is not JSON: {error}. Send one JSON object.", field=field
        ) from error
    if depth > MAX_DEPTH:
        raise InvalidInput(
            "invalid_json",
            f"{field} is nested more than {MAX_DEPTH} levels deep. Send flatter JSON.",
            field=field,
            limit=MAX_DEPTH,
        )
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0
