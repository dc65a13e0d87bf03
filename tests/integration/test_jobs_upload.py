"""Uploads over a real socket: refused early, taken whole, broken off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from job_server import LIMITS, batch_lane, recording, sentences, write_wav

pytestmark = pytest.mark.integration

SCRIPT = sentences(3)
FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[int]:
    """The app on a real socket; gives its port."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    try:
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await serving


def test_over_a_socket_uploads_are_refused_early_and_taken_whole(tmp_path) -> None:
    """A declared length over the limit is refused before any body; an undeclared one when it has passed it."""
    speech = write_wav(tmp_path / "speech.wav", recording(SCRIPT)).read_bytes()
    limits = replace(LIMITS, max_upload_bytes=len(speech))
    kind = {"content-type": "multipart/form-data; boundary=b"}

    async def undeclared():
        yield FILE
        for _ in range(100):
            yield bytes(65_536)

    async def answer_to_head(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000000000\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        )
        answer = await reader.readuntil(b"}")
        writer.close()
        await writer.wait_closed()
        return answer

    async def main() -> None:
        async with batch_lane(tmp_path / "data", SCRIPT, limits=limits) as lane, served(lane.app) as port:
            answer = await answer_to_head(port)
            assert answer.startswith(b"HTTP/1.1 413")
            assert b'"upload_too_large"' in answer
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as http:
                refused = await http.post("/v1/jobs", content=undeclared(), headers=kind)
                assert refused.status_code == 413
                assert (refused.json()["code"], refused.json()["limit"]) == ("upload_too_large", len(speech))
                assert lane.files() == []
                accepted = await http.post("/v1/jobs", files={"file": ("a.wav", speech)})
                assert accepted.status_code == 202
            job = await lane.service.wait("default", accepted.json()["id"], 60)
            assert job.state == "succeeded"

    asyncio.run(main())


def test_an_upload_that_breaks_off_leaves_nothing(tmp_path) -> None:
    """The client goes away in the middle of the body: the spool is gone, no job exists."""

    async def main() -> None:
        async with batch_lane(tmp_path / "data", SCRIPT) as lane, served(lane.app) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                b"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n"
                b"Content-Type: multipart/form-data; boundary=b\r\n\r\n" + FILE + bytes(100_000)
            )
            await lane.until_files(there=True)
            writer.close()
            await writer.wait_closed()
            await lane.until_files(there=False)
            assert await lane.store.unfinished() == []

    asyncio.run(main())
