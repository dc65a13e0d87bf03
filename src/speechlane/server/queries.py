"""Query parameters: the unknown is refused by name, each may stand once."""

from __future__ import annotations

from starlette.requests import HTTPConnection

from speechlane.errors import InvalidInput


def query_of(request: HTTPConnection, *known: str) -> dict[str, str]:
    """The request's query parameters.

    Raises:
        InvalidInput: ``unknown_parameter`` or ``duplicate_parameter``, field the parameter's name.
    """
    values: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            takes = f"Known are: {', '.join(known)}." if known else "Leave it out."
            raise InvalidInput(
                "unknown_parameter", f"{name} is no parameter of this call. {takes}", field=name, limit=list(known)
            )
        if name in values:
            raise InvalidInput("duplicate_parameter", f"{name} stands twice. Send it once.", field=name)
        values[name] = value
    return values
