"""The batch lane's door: recordings in, jobs, transcripts and manifests out (docs/protocol.md, section 2)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from speechlane.errors import InvalidInput
from speechlane.runtime.jobs import JobService
from speechlane.runtime.jobs_outputs import Document
from speechlane.server.auth import Authenticator
from speechlane.server.negotiation import accepted
from speechlane.server.queries import query_of
from speechlane.server.uploads import posted_recording

_UPLOAD_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "Any audio or video file."},
                        "options": {"type": "string", "description": "Job options as a JSON object."},
                    },
                    "additionalProperties": False,
                }
            }
        },
    }
}


def jobs_router(jobs: JobService, authenticator: Authenticator) -> APIRouter:
    """The routes below ``/v1/jobs``."""
    router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

    @router.post("", status_code=202, openapi_extra=_UPLOAD_BODY, response_class=JSONResponse)
    async def post_job(request: Request) -> Response:
        """Post a recording; the answer is the job, its address is in `Location`."""
        tenant = authenticator.http_tenant(request)
        query_of(request)
        if "idempotency-key" in request.headers:
            raise InvalidInput(
                "not_offered",
                "Idempotency-Key: not offered by this version of the server, so a repeat would be a second job. Leave"
                " the header out.",
                field="idempotency-key",
            )
        async with posted_recording(request, jobs) as posted:
            job = await jobs.submit(tenant, posted.spool, posted.filename, posted.options)
        return JSONResponse(job.as_wire(), 202, {"Location": f"/v1/jobs/{job.id}"})

    @router.get("/{job_id}", response_class=JSONResponse)
    async def get_job(request: Request, job_id: str) -> Response:
        """One job."""
        tenant = authenticator.http_tenant(request)
        query_of(request)
        return JSONResponse((await jobs.get(tenant, job_id)).as_wire())

    @router.get("/{job_id}/transcript", response_class=Response)
    async def get_transcript(request: Request, job_id: str) -> Response:
        """The transcript by `format` or `Accept`; before the job has succeeded the segments so far, marked partial."""
        tenant = authenticator.http_tenant(request)
        wished = query_of(request, "format").get("format") or accepted(request.headers.get("accept", "*/*"))
        return _sent(request, await jobs.transcript(tenant, job_id, wished))

    @router.get("/{job_id}/manifest", response_class=JSONResponse)
    async def get_manifest(request: Request, job_id: str) -> Response:
        """Everything that made the transcript."""
        tenant = authenticator.http_tenant(request)
        query_of(request)
        return _sent(request, await jobs.manifest(tenant, job_id))

    return router


def _sent(request: Request, document: Document) -> Response:
    headers = {"Speechlane-Partial": "true"} if document.partial else {}
    if document.sha256 is not None:
        headers |= {"ETag": f'"{document.sha256}"', "Cache-Control": "private, no-cache"}
        if headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
    else:
        headers["Cache-Control"] = "no-store"
    return Response(document.body, headers=headers, media_type=document.media_type)
