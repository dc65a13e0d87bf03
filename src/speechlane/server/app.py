"""The HTTP application: handed its parts, it only joins the doors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from speechlane import __version__
from speechlane.engine import Engine
from speechlane.provenance import Registry
from speechlane.runtime.jobs import JobService
from speechlane.server.auth import Authenticator
from speechlane.server.chunks import chunks_router
from speechlane.server.jobs import jobs_router
from speechlane.server.problems import handle_problems
from speechlane.server.queries import query_of

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_app(
    *,
    jobs: JobService,
    registry: Registry,
    engines: Sequence[Engine],
    authenticator: Authenticator,
    ready: Callable[[], Awaitable[None]],
    routers: Sequence[APIRouter] = (),
    lifespan: Lifespan | None = None,
) -> FastAPI:
    """The application with all REST doors.

    Args:
        jobs: the batch lane, started by who owns it.
        registry: what `/v1/chunks` searches.
        engines: what `/v1/models` tells.
        authenticator: names each call's tenant.
        ready: raises SpeechlaneError while the server cannot take work; `/readyz` tells it.
        routers: further doors, such as the live lane's.
        lifespan: opens and closes the parts with the server.
    """
    # No pages that load scripts from elsewhere; the description itself stays at /openapi.json.
    app = FastAPI(title="Speechlane", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan)
    handle_problems(app)
    app.add_middleware(HeadAsGet)
    for router in (jobs_router(jobs, authenticator), chunks_router(registry, authenticator), *routers):
        app.include_router(router)

    @app.get("/v1/models", tags=["models"], response_class=JSONResponse)
    async def get_models(request: Request) -> Response:
        """The models that this server decodes with."""
        authenticator.http_tenant(request)
        query_of(request)
        return JSONResponse({"models": [_model(engine) for engine in engines]})

    @app.get("/healthz", tags=["operation"], response_class=JSONResponse)
    async def get_health() -> Response:
        """Alive."""
        return JSONResponse({"status": "alive"})

    @app.get("/readyz", tags=["operation"], response_class=JSONResponse)
    async def get_readiness() -> Response:
        """Ready to take work; otherwise a problem that says what is missing."""
        await ready()
        return JSONResponse({"status": "ready"})

    return app


class HeadAsGet:
    """Answers HEAD as GET without its body (RFC 9110, section 9.3.2); FastAPI's routes take GET alone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or one connection."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self._app({**scope, "method": "GET"}, receive, send_head)


def _model(engine: Engine) -> dict[str, object]:
    identity, capabilities = engine.identity, engine.capabilities
    return {
        "name": identity.model,
        "revision": identity.model_revision,
        "pin": identity.pin,
        "digest": identity.model_digest,
        "engine": identity.engine,
        "engine_version": identity.engine_version,
        "device": identity.device,
        "compute_type": identity.compute_type,
        "languages": sorted(capabilities.languages),
        "detects_language": capabilities.detects_language,
        "word_times": capabilities.word_times,
        "confidences": capabilities.confidences,
        "keyterms": capabilities.keyterms,
    }
