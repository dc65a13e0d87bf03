"""``GET /metrics``: what the server measures of itself, in the formats that Prometheus scrapes."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from speechlane.runtime.metrics import Metrics
from speechlane.server.auth import Authenticator
from speechlane.server.queries import query_of


def metrics_router(metrics: Metrics, authenticator: Authenticator) -> APIRouter:
    """The door for scrapers.

    It wants a key where the server has keys, as a scraper can send one and how busy a server is concerns nobody else.
    """
    router = APIRouter()

    @router.get("/metrics", tags=["operation"], response_class=PlainTextResponse)
    async def get_metrics(request: Request) -> Response:
        """All metrics, in the Prometheus text format 0.0.4, or in OpenMetrics for who accepts it."""
        authenticator.http_tenant(request)
        query_of(request)
        content, content_type = metrics.exposition(request.headers.get("accept", ""))
        return Response(content, headers={"content-type": content_type})

    return router
