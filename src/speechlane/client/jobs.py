"""Recordings as jobs, and what both lanes keep: transcripts, manifests, chunks (docs/protocol.md, section 2)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from speechlane.client.address import Address, authorization, refusal, unreachable

Job = dict[str, Any]
"""A job, as section 2 of the protocol names its fields."""

END_STATES = frozenset({"succeeded", "failed", "canceled", "expired"})
POLL_S = 0.5


class JobsClient:
    """A connection to a server's REST side; use it as an async context manager.

    Raises:
        SpeechlaneError: from every method: what the server's problem document said, or ``unreachable``.
    """

    def __init__(self, url: str, *, key: str | None = None) -> None:
        self._address = Address(url)
        self._http = httpx.AsyncClient(
            base_url=self._address.http(),
            headers=authorization(key),
            timeout=httpx.Timeout(30, write=None, read=300),
            trust_env=not self._address.on_this_machine,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def submit(self, path: Path, options: Mapping[str, object] | None = None) -> Job:
        """Post a recording; the answer is the job as accepted."""
        with path.open("rb") as file:
            files = {"file": (path.name, file, "application/octet-stream")}
            data = {"options": json.dumps(options)} if options else {}
            response = await self._request("POST", "/v1/jobs", files=files, data=data)
        job: Job = response.json()
        return job

    async def follow(self, job_id: str) -> AsyncIterator[Job]:
        """The job again and again as it proceeds; the last one is in an end state."""
        while True:
            job: Job = await self.json(f"/v1/jobs/{job_id}")
            yield job
            if job["state"] in END_STATES:
                return
            await asyncio.sleep(POLL_S)

    async def json(self, path: str, **query: str) -> Any:
        """A JSON document of the server, e.g. ``/v1/jobs/ID/manifest``."""
        return (await self._request("GET", path, params=query)).json()

    async def text(self, path: str, **query: str) -> str:
        """A document as it is sent, e.g. ``/v1/jobs/ID/transcript`` with ``format="vtt"``."""
        return (await self._request("GET", path, params=query)).text

    async def _request(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            response = await self._http.request(method, path, **content)
        except httpx.TransportError as error:
            raise unreachable(self._address, error) from error
        if response.is_success:
            return response
        try:
            fields = response.json()
        except ValueError:
            fields = {}
        raise refusal(fields if isinstance(fields, dict) else {}, status=response.status_code)
