"""The registry's door: search what made each chunk's text (docs/protocol.md, section 2)."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from speechlane.errors import InvalidInput
from speechlane.provenance import ChunkQuery, Registry
from speechlane.server.auth import Authenticator
from speechlane.server.queries import query_of

PARAMETERS = tuple(field.name for field in fields(ChunkQuery))


def chunks_router(registry: Registry, authenticator: Authenticator) -> APIRouter:
    """The route ``/v1/chunks``."""
    router = APIRouter(tags=["registry"])

    @router.get("/v1/chunks", response_class=JSONResponse)
    async def search_chunks(request: Request) -> Response:
        """Records of the tenant's chunks, newest first; `next_cursor` leads to the next page, null on the last."""
        tenant = authenticator.http_tenant(request)
        records, cursor = await registry.search(tenant, _query(query_of(request, *PARAMETERS)))
        return JSONResponse({"chunks": [record.as_fields() for record in records], "next_cursor": cursor})

    return router


def _query(values: dict[str, str]) -> ChunkQuery:
    wishes: dict[str, Any] = dict(values)
    for name in ("since", "until"):
        if name in values:
            wishes[name] = _moment(values[name], name)
    if "limit" in values:
        if not (values["limit"].isascii() and values["limit"].isdigit()):
            raise InvalidInput(
                "invalid_limit", f"limit is {values['limit']!r}; send a whole number.", field="limit", limit=1000
            )
        wishes["limit"] = int(values["limit"][:9])
    return ChunkQuery(**wishes)


def _moment(text: str, name: str) -> str:
    """A moment in the form that records bear, so that it compares with theirs as text."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidInput(
            "invalid_time",
            f"{name}: {text!r} is no moment with a time zone. Send RFC 3339, such as 2026-11-21T10:00:00Z.",
            field=name,
        )
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
