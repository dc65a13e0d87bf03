"""Every error as ``application/problem+json`` (RFC 9457), the framework's own included; no page of HTML, ever."""

from __future__ import annotations

import logging
import secrets
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from speechlane.errors import InvalidInput, NotAuthenticated, NotFound, SpeechlaneError

_LOGGER = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


def problem(error: SpeechlaneError, status: int | None = None) -> Response:
    """The response that tells an error; ``status`` where it is not the error's own."""
    status = status or error.http_status
    fields = error.as_fields()
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": fields.pop("message"),
        **fields,
    }
    headers = {}
    if error.retry_after_ms is not None:
        headers["Retry-After"] = str(-(-error.retry_after_ms // 1000))
    if isinstance(error, NotAuthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(body, status, headers, MEDIA_TYPE)


def handle_problems(app: FastAPI) -> None:
    """Give the app a handler for everything that may be raised below it."""
    app.add_exception_handler(SpeechlaneError, _ours)
    app.add_exception_handler(HTTPException, _framework)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _unforeseen)


async def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, SpeechlaneError)
    if error.fault != "client":
        _LOGGER.error("%s %s: %s [%s]", request.method, request.url.path, error.message, error.code)
    elif isinstance(error, NotAuthenticated):
        _LOGGER.info("refused %s %s: %s", request.method, request.url.path, error.code)
    return problem(error)


async def _framework(request: Request, error: Exception) -> Response:
    """Starlette's own refusals: no such path, no such method, a body that is no form."""
    assert isinstance(error, HTTPException)
    path = request.url.path
    if error.status_code == HTTPStatus.NOT_FOUND:
        told: SpeechlaneError = NotFound("unknown_path", f"There is nothing at {path}. See /openapi.json for what is.")
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = sorted((error.headers or {}).get("Allow", "").replace(" ", "").split(","))
        told = InvalidInput(
            "method_not_allowed",
            f"{path} does not take {request.method}. Use {' or '.join(allowed)}.",
            field="method",
            limit=allowed,
        )
    else:
        told = InvalidInput("invalid_request", f"{error.detail}. Correct the request and send it again.")
    response = problem(told, error.status_code)
    response.headers.update(error.headers or {})
    return response


async def _validation(_request: Request, error: Exception) -> Response:
    """A query or path parameter of the wrong form; the first one is told."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:]) or None
    return problem(InvalidInput("invalid_parameter", f"{field}: {first['msg']}. Correct it.", field=field))


async def _gone(_request: Request, _error: Exception) -> Response:
    """The client went away while it sent; nobody reads the answer (499 is nginx's number for that)."""
    return Response(status_code=499)


async def _unforeseen(request: Request, error: Exception) -> Response:
    incident = secrets.token_hex(4)
    _LOGGER.error("incident %s: %s %s", incident, request.method, request.url.path, exc_info=error)
    return problem(
        SpeechlaneError(
            "server_fault",
            f"The server failed on this request (incident {incident}). Try again; if it happens again, tell the"
            " operator that number.",
            retryable=True,
        )
    )
