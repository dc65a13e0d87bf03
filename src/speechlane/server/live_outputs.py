"""The doors beside the live socket: a session's state, transcript, manifest and captions (docs/protocol.md)."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from speechlane.captions import FORMATS, hls, render, transcript_to_dict, webvtt
from speechlane.errors import InvalidInput, NotFound
from speechlane.live.config import SessionHead
from speechlane.live.manifest import session_manifest
from speechlane.provenance import ChunkRecord, Registry
from speechlane.runtime.live_hub import LiveHub
from speechlane.runtime.live_records import LiveRecords, SessionRecord
from speechlane.server.auth import Authenticator
from speechlane.server.negotiation import accepted
from speechlane.server.problems import problem
from speechlane.server.queries import query_of

FOLLOW_S = 0.5
"""How often a follower's captions are looked up."""

_FRESH = {"Cache-Control": "private, no-cache"}
_FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}


def live_outputs_router(
    records: LiveRecords, hub: LiveHub, registry: Registry, authenticator: Authenticator
) -> APIRouter:
    """The HTTP routes below ``/v1/live``."""
    router = APIRouter(prefix="/v1/live", tags=["live"])

    @router.get("", response_class=Response, responses={426: {"description": "This address is a WebSocket's."}})
    async def get_live() -> Response:
        """Only a WebSocket can be opened here (RFC 9110, section 15.5.22)."""
        told = InvalidInput(
            "upgrade_required", "/v1/live is a WebSocket. Open it with a WebSocket client.", field="upgrade"
        )
        response = problem(told, 426)
        response.headers.update({"Upgrade": "websocket", "Connection": "Upgrade"})
        return response

    @router.get("/{session}", response_class=JSONResponse)
    async def get_session(request: Request, session: str) -> Response:
        """The state of a session and its figures."""
        tenant = authenticator.http_tenant(request)
        query_of(request)
        return JSONResponse(await records.read(tenant, session, _described), headers={"Cache-Control": "no-store"})

    @router.get("/{session}/transcript", response_class=Response)
    async def get_transcript(request: Request, session: str) -> Response:
        """The transcript by `format` or `Accept`; while the session is not closed what is settled, marked partial."""
        tenant = authenticator.http_tenant(request)
        wished = query_of(request, "format").get("format") or accepted(request.headers.get("accept", "*/*"))
        return await records.read(tenant, session, partial(_transcript, request, wished))

    @router.get("/{session}/manifest", response_class=JSONResponse)
    async def get_manifest(request: Request, session: str) -> Response:
        """Everything that made the transcript."""
        tenant = authenticator.http_tenant(request)
        query_of(request)
        head, duration_ms, outputs = await records.read(tenant, session, _made)
        chain = await registry.chain(tenant, session=session)
        return await records.apart(_manifest, head, chain, duration_ms, outputs)

    @router.get("/{session}/captions.vtt", response_class=Response)
    async def get_captions(request: Request, session: str) -> Response:
        """All settled captions as WebVTT; with `follow=true` the answer goes on until the session is closed."""
        tenant = authenticator.http_tenant(request)
        follow = query_of(request, "follow").get("follow", "false")
        if follow not in {"true", "false"}:
            raise InvalidInput(
                "invalid_parameter",
                f"follow is {follow!r}; send true or false.",
                field="follow",
                limit=["true", "false"],
            )
        if follow == "false":
            return await records.read(tenant, session, partial(_transcript, request, "vtt"))
        following = _Following()
        first = await records.read(tenant, session, following.next)
        body = _followed(first, partial(records.read, tenant, session, following.next), hub)
        return StreamingResponse(body, media_type=webvtt.MEDIA_TYPE, headers={"Cache-Control": "no-store"})

    @router.get("/{session}/captions.m3u8", response_class=Response)
    async def get_playlist(request: Request, session: str) -> Response:
        """The HLS media playlist of the settled captions."""
        tenant = authenticator.http_tenant(request)
        query_of(request)
        return await records.read(tenant, session, _playlist)

    @router.get("/{session}/captions/{number}.vtt", response_class=Response)
    async def get_segment(request: Request, session: str, number: int) -> Response:
        """One listed segment of the playlist; it never changes."""
        tenant = authenticator.http_tenant(request)
        query_of(request)
        return await records.read(tenant, session, partial(_segment, number))

    return router


def _described(record: SessionRecord) -> dict[str, object]:
    head = record.head
    return {
        "session": head.session,
        "state": record.state,
        "started_at": head.started_at,
        "language": head.config.language,
        "metadata": head.config.metadata,
        "route": record.route,
        "engines": [route.identity.pin for route in head.routes],
        "duration_ms": record.duration_ms,
        "speech_ms": record.speech_ms,
        "settled_ms": record.settled_ms,
        "lag_ms": record.lag_ms,
        "segments": len(record.segments),
    }


def _body(record: SessionRecord, file_format: str) -> tuple[bytes, str]:
    if file_format != "json":
        if file_format == "vtt":
            return _utf8(webvtt.to_webvtt(record.cues.all())), webvtt.MEDIA_TYPE
        return render(record.transcript, file_format)
    values = transcript_to_dict(record.transcript)
    if record.live:
        values["partial"] = True
    if not record.head.config.words:
        for segment in values["segments"]:
            segment["words"] = []
    text = json.dumps(values, ensure_ascii=False, indent=1) + "\n"
    return text.encode("utf-8", errors="backslashreplace"), "application/json"


def _versioned(request: Request, record: SessionRecord, kind: str) -> tuple[dict[str, str], bool]:
    """The headers of an output that grows, and whether the client has this version already."""
    # Of a session that is not closed the JSON also tells how much was heard.
    heard = f"-{record.position}" if kind == "json" else ""
    headers = {**_FRESH, "ETag": f'"{kind}-{record.version}{heard}"'}
    if record.live:
        headers["Speechlane-Partial"] = "true"
    return headers, headers["ETag"] in request.headers.get("if-none-match", "")


def _transcript(request: Request, file_format: str, record: SessionRecord) -> Response:
    headers, known = _versioned(request, record, file_format)
    if known:
        return Response(status_code=304, headers=headers)
    body, media_type = _body(record, file_format)
    return Response(body, headers=headers, media_type=media_type)


def _playlist(record: SessionRecord) -> Response:
    count = hls.segments_listed(record.sure_ms, record.duration_ms)
    began = datetime.fromisoformat(record.head.started_at)
    text = hls.media_playlist(count, record.duration_ms, began, folder="captions", ended=not record.live)
    return Response(text, headers=_FRESH, media_type=hls.MEDIA_TYPE)


def _segment(number: int, record: SessionRecord) -> Response:
    count = hls.segments_listed(record.sure_ms, record.duration_ms)
    if not 0 <= number < count:
        raise NotFound(
            "unknown_segment",
            f"Segment {number} is not listed: there are {count} so far. Take segments from the playlist.",
            field="number",
            limit=count,
        )
    body = _utf8(hls.media_segment(record.cues, number))
    return Response(body, headers=_FOREVER, media_type=webvtt.MEDIA_TYPE)


def _made(record: SessionRecord) -> tuple[SessionHead, int, dict[str, dict[str, Any]]]:
    """What the manifest needs of the record: the outputs' digests once they are whole."""
    outputs = {}
    for file_format in () if record.live else FORMATS:
        body, _ = _body(record, file_format)
        outputs[f"transcript.{file_format}"] = {"sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)}
    return record.head, record.duration_ms, outputs


def _manifest(
    head: SessionHead, chain: Sequence[ChunkRecord], duration_ms: int, outputs: dict[str, dict[str, Any]]
) -> Response:
    manifest = session_manifest(head, records=chain, duration_ms=duration_ms, outputs=outputs)
    return JSONResponse(manifest, headers={"Cache-Control": "no-store"})


class _Following:
    """What one follower of the captions has been sent: a header, then every cue once it is sure."""

    def __init__(self) -> None:
        self._sent_ms: int | None = None

    def next(self, record: SessionRecord) -> tuple[str, bool]:
        """The text that is new, and whether more may come."""
        header = webvtt.HEADER + "\n" if self._sent_ms is None else ""
        begin, end = self._sent_ms or 0, record.sure_ms
        cues = record.cues.starting(begin, sys.maxsize if end is None else end)
        self._sent_ms = begin if end is None else max(begin, end)
        return header + "".join(f"\n{webvtt.cue_block(cue)}\n" for cue in cues), record.live


async def _followed(
    first: tuple[str, bool], read: Callable[[], Awaitable[tuple[str, bool]]], hub: LiveHub
) -> AsyncIterator[bytes]:
    text, live = first
    yield _utf8(text)
    while live and not hub.stopping:
        await asyncio.sleep(FOLLOW_S)
        text, live = await read()
        if text:
            yield _utf8(text)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", errors="replace")
