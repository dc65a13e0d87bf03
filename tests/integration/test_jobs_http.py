"""The REST doors: statuses, headers, bodies, refusals."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from fastapi import APIRouter
from job_server import Lane, batch_lane, recording, sentences, write_wav

from speechlane import __version__
from speechlane.engine.scripted import ScriptedEngine
from speechlane.errors import OverCapacity

pytestmark = pytest.mark.integration

SCRIPT = sentences(3)
KEYS = {"red": "red-key-red-key-red", "blue": "blue-key-blue-key"}
RED, BLUE = ({"Authorization": f"Bearer {key}"} for key in KEYS.values())


@pytest.fixture(scope="module")
def speech(tmp_path_factory) -> bytes:
    return write_wav(tmp_path_factory.mktemp("speech") / "speech.wav", recording(SCRIPT)).read_bytes()


def problem_of(response: httpx.Response, status: int) -> dict:
    """The response's problem, which must have the contract's members."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == status
    assert {"type", "title", "detail", "code", "field", "limit", "retryable"} <= set(body)
    assert len(body["detail"]) > 20
    return body


async def posted(lane: Lane, speech: bytes, options: dict | None = None, **headers: str) -> httpx.Response:
    data = {"options": json.dumps(options)} if options is not None else {}
    return await lane.http.post("/v1/jobs", files={"file": ("talk.wav", speech)}, data=data, headers=headers)


async def ended(lane: Lane, response: httpx.Response, tenant: str = "default") -> str:
    """The id of the job that a post answered with, when it has ended."""
    assert response.status_code == 202, response.text
    job = await lane.service.wait(tenant, response.json()["id"], 60)
    assert job.state == "succeeded"
    return job.id


def test_a_job_from_post_to_transcript(tmp_path, speech) -> None:
    """202 with Location, the job as JSON, the transcript in each format by parameter and by Accept, the manifest."""

    async def main() -> None:
        async with batch_lane(tmp_path / "data", SCRIPT) as lane:
            response = await posted(lane, speech, {"language": "en", "metadata": {"case": "ü"}})
            job_id = await ended(lane, response)
            assert response.headers["location"] == f"/v1/jobs/{job_id}"
            job = (await lane.http.get(response.headers["location"])).json()
            assert (job["state"], job["input"]["filename"]) == ("succeeded", "talk.wav")
            assert job["options"]["metadata"] == {"case": "ü"}
            assert set(job["outputs"]) == {f"transcript.{name}" for name in ("json", "txt", "srt", "vtt")} | {
                "manifest.json"
            }

            address = f"/v1/jobs/{job_id}/transcript"
            starts = {"json": "{", "txt": "[00:00:00.5] one two three.", "srt": "1\n00:00:00,500 --> ", "vtt": "WEBVTT"}
            types = {"json": "application/json", "txt": "text/plain", "srt": "application/x-subrip", "vtt": "text/vtt"}
            for name, start in starts.items():
                by_parameter = await lane.http.get(address, params={"format": name})
                by_accept = await lane.http.get(address, headers={"accept": f"{types[name]}, image/png;q=0.9"})
                assert by_parameter.text.startswith(start)
                assert by_parameter.headers["content-type"].partition(";")[0] == types[name]
                assert by_accept.content == by_parameter.content
                assert "speechlane-partial" not in by_parameter.headers
                tag = by_parameter.headers["etag"]
                unchanged = await lane.http.get(address, params={"format": name}, headers={"if-none-match": tag})
                assert (unchanged.status_code, unchanged.content) == (304, b"")
            assert (await lane.http.get(address)).headers["content-type"] == "application/json"
            browser = await lane.http.get(address, headers={"accept": "text/html,text/*;q=0.8,*/*;q=0.5"})
            assert browser.headers["content-type"].startswith("text/plain")

            manifest = (await lane.http.get(f"/v1/jobs/{job_id}/manifest")).json()
            assert manifest["job"] == job_id

            page = (await lane.http.get("/v1/chunks", params={"job": job_id, "limit": 2})).json()
            assert [chunk["index"] for chunk in page["chunks"]] == [2, 1]
            rest = (await lane.http.get("/v1/chunks", params={"job": job_id, "cursor": page["next_cursor"]})).json()
            assert ([chunk["index"] for chunk in rest["chunks"]], rest["next_cursor"]) == ([0], None)
            at = page["chunks"][1]["at"].replace("Z", "+00:00")
            since = (
                await lane.http.get("/v1/chunks", params={"since": at, "until": "2100-01-01T00:00:00+01:00"})
            ).json()
            assert {1, 2} <= {chunk["index"] for chunk in since["chunks"]}

    asyncio.run(main())


def test_before_its_end_a_job_has_a_partial_transcript_and_no_manifest(tmp_path, speech) -> None:
    """The header marks it in every format, and JSON says so itself; the manifest is a conflict until the end."""

    async def main() -> None:
        go_on = asyncio.Event()

        async def hold(_request) -> None:
            await go_on.wait()

        engine = ScriptedEngine(SCRIPT, before_answer=hold)
        async with batch_lane(tmp_path / "data", SCRIPT, engine=engine) as lane:
            response = await posted(lane, speech)
            address = response.headers["location"]
            for name in ("json", "txt", "srt", "vtt"):
                transcript = await lane.http.get(f"{address}/transcript", params={"format": name})
                assert (transcript.status_code, transcript.headers["speechlane-partial"]) == (200, "true")
                assert "etag" not in transcript.headers
            assert (await lane.http.get(f"{address}/transcript")).json()["partial"] is True
            conflict = problem_of(await lane.http.get(f"{address}/manifest"), 409)
            assert (conflict["code"], conflict["retryable"]) == ("job_not_succeeded", True)
            go_on.set()
            await ended(lane, response)

    asyncio.run(main())


def multipart(*parts: tuple[str, bytes], end: bytes = b"--b--\r\n") -> dict:
    """A hand-made body of (Content-Disposition, content)."""
    body = b"".join(
        b"--b\r\nContent-Disposition: " + disposition.encode() + b"\r\n\r\n" + content + b"\r\n"
        for disposition, content in parts
    )
    return {"content": body + end, "headers": {"content-type": "multipart/form-data; boundary=b"}}


FILE = 'form-data; name="file"; filename="a.wav"'


def test_a_bad_post_is_a_problem_and_leaves_nothing(tmp_path, speech) -> None:
    """Each fault of a body has its status, code and field; nothing is stored."""
    options = 'form-data; name="options"'
    cases = [
        ({"json": {"source": {"url": "https://example.org/a.wav"}}}, 422, "not_offered", "source"),
        ({"content": speech, "headers": {"content-type": "audio/wav"}}, 422, "invalid_body", "content-type"),
        ({"content": speech}, 422, "invalid_body", "content-type"),
        (multipart(end=b""), 422, "invalid_body", "body"),
        (multipart((FILE, speech), end=b""), 422, "invalid_body", "body"),
        ({**multipart(), "content": b"no boundary at all"}, 422, "invalid_body", "body"),
        (
            {"content": b"", "headers": {"content-type": f"multipart/form-data; boundary={'b' * 300}"}},
            422,
            "invalid_body",
            "body",
        ),
        (multipart((options, b"{}")), 422, "missing_file", "file"),
        (multipart((FILE, b"")), 422, "empty_file", "file"),
        (multipart((FILE, b"Dear Sir or Madam,\n" * 99)), 422, "not_audio", "file"),
        (multipart((FILE, speech), (FILE, speech)), 422, "duplicate_field", "file"),
        (multipart(('form-data; name="audio"; filename="a.wav"', speech)), 422, "unknown_field", "audio"),
        (multipart((FILE, speech), (options, b"{")), 422, "invalid_json", "options"),
        (multipart((FILE, speech), (options, b'{"metadata": {"a": NaN}}')), 422, "invalid_json", "options"),
        (multipart((FILE, speech), (options, b'{"metadata": {"a": "\\ud800"}}')), 422, "invalid_json", "options"),
        (multipart((FILE, speech), (options, b"[" * 60_000)), 422, "invalid_json", "options"),
        (multipart((FILE, speech), (options, b"\xff")), 422, "invalid_json", "options"),
        (multipart((FILE, speech), (options, b"[]")), 422, "invalid_option", "options"),
        (multipart((FILE, speech), (options, b'{"language": "xx"}')), 422, "unsupported_language", "language"),
        (multipart((FILE, speech), (options, b" " * 70_000)), 413, "options_too_large", "options"),
        ({"files": {"file": speech}, "headers": {"idempotency-key": "k"}}, 422, "not_offered", "idempotency-key"),
        ({"files": {"file": speech}, "params": {"wait": "1"}}, 422, "unknown_parameter", "wait"),
    ]

    async def main() -> None:
        async with batch_lane(tmp_path / "data", SCRIPT) as lane:
            for request, status, code, field in cases:
                problem = problem_of(await lane.http.post("/v1/jobs", **request), status)
                assert (problem["code"], problem["field"]) == (code, field)
                assert lane.files() == []
            assert await lane.store.unfinished() == []

    asyncio.run(main())


def test_every_refusal_is_a_problem(tmp_path) -> None:
    """Unknown paths and ids, wrong methods, bad parameters and faults of our own; none is a page or a bare status."""
    router = APIRouter()

    @router.get("/busy")
    async def busy() -> None:
        raise OverCapacity("too_many", "All places are taken just now.", retry_after_ms=1500)

    @router.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError("secret inside")

    @router.get("/typed")
    async def typed(number: int) -> int:
        return number

    cases = [
        ("GET", "/", 404, "unknown_path", None),
        ("GET", "/v1/nothing", 404, "unknown_path", None),
        ("DELETE", "/v1/models", 405, "method_not_allowed", "method"),
        ("GET", "/v1/jobs/job_none", 404, "unknown_job", "id"),
        ("GET", "/v1/jobs/job_none/transcript", 404, "unknown_job", "id"),
        ("GET", "/v1/jobs/job_none/transcript?format=docx", 422, "unsupported_format", "format"),
        ("GET", "/v1/jobs/job_none/manifest", 404, "unknown_job", "id"),
        ("GET", "/v1/jobs/job_none?verbose=1", 422, "unknown_parameter", "verbose"),
        ("GET", "/v1/jobs/job_none?key=abc", 401, "key_in_url", "key"),
        ("GET", "/v1/chunks?colour=red", 422, "unknown_parameter", "colour"),
        ("GET", "/v1/chunks?job=a&job=b", 422, "duplicate_parameter", "job"),
        ("GET", "/v1/chunks?limit=many", 422, "invalid_limit", "limit"),
        ("GET", "/v1/chunks?limit=1001", 422, "invalid_limit", "limit"),
        ("GET", "/v1/chunks?cursor=x", 422, "invalid_cursor", "cursor"),
        ("GET", "/v1/chunks?since=yesterday", 422, "invalid_time", "since"),
        ("GET", "/v1/chunks?until=2026-11-21T10:00:00", 422, "invalid_time", "until"),
        ("GET", "/busy", 429, "too_many", None),
        ("GET", "/broken", 500, "server_fault", None),
        ("GET", "/typed?number=x", 422, "invalid_parameter", "number"),
    ]

    async def main() -> None:
        async with batch_lane(tmp_path / "data", SCRIPT, routers=[router]) as lane:
            for method, path, status, code, field in cases:
                response = await lane.http.request(method, path)
                problem = problem_of(response, status)
                assert (problem["code"], problem["field"]) == (code, field), path
                assert "secret" not in response.text
                if status == 429:
                    assert (response.headers["retry-after"], problem["retryable"]) == ("2", True)
                if status == 405:
                    assert (response.headers["allow"], problem["limit"]) == ("GET", ["GET"])
                if status == 401:
                    assert response.headers["www-authenticate"] == "Bearer"
            refused = await lane.http.get("/v1/jobs/job_none/transcript", headers={"accept": "image/png, text/vtt;q=0"})
            assert problem_of(refused, 422)["code"] == "unsupported_format"
            foreign = await lane.http.get("/v1/models", headers={"host": "evil.example"})
            assert problem_of(foreign, 401)["code"] == "host_refused"

    asyncio.run(main())


def test_tenants_see_their_own_alone(tmp_path, speech) -> None:
    """With keys every call needs one; another tenant's job is unknown and its chunks are not found."""

    async def main() -> None:
        async with batch_lane(tmp_path / "data", SCRIPT, keys=KEYS) as lane:
            for path in (
                "/v1/models",
                "/v1/chunks",
                "/v1/jobs/job_x",
                "/v1/jobs/job_x/transcript",
                "/v1/jobs/job_x/manifest",
            ):
                assert problem_of(await lane.http.get(path), 401)["code"] == "key_required"
            assert problem_of(await posted(lane, speech), 401)["code"] == "key_required"
            assert lane.files() == []
            job_id = await ended(lane, await posted(lane, speech, **RED), "red")
            for path in ("", "/transcript", "/manifest"):
                assert (await lane.http.get(f"/v1/jobs/{job_id}{path}", headers=RED)).status_code == 200
                hidden = await lane.http.get(f"/v1/jobs/{job_id}{path}", headers=BLUE)
                assert problem_of(hidden, 404)["code"] == "unknown_job"
            assert len((await lane.http.get("/v1/chunks", headers=RED)).json()["chunks"]) == 3
            assert (await lane.http.get("/v1/chunks", headers=BLUE)).json() == {"chunks": [], "next_cursor": None}

    asyncio.run(main())


def test_the_server_tells_of_itself(tmp_path) -> None:
    """Health and readiness need no key; models show pins and languages; the description is JSON without pages."""

    async def main() -> None:
        async with batch_lane(tmp_path / "data", SCRIPT, keys=KEYS) as lane:
            assert (await lane.http.get("/healthz")).json() == {"status": "alive"}
            assert (await lane.http.get("/readyz")).json() == {"status": "ready"}
            (model,) = (await lane.http.get("/v1/models", headers=RED)).json()["models"]
            assert (model["name"], model["pin"], model["languages"]) == ("script", "script@0000000", ["en"])
            description = (await lane.http.get("/openapi.json")).json()
            assert description["info"]["version"] == __version__
            assert "multipart/form-data" in description["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]
            for page in ("/docs", "/redoc"):
                problem_of(await lane.http.get(page), 404)

    asyncio.run(main())


@pytest.mark.parametrize("path", ["/healthz", "/v1/models", "/nowhere", "/"])
def test_head_answers_as_get_without_the_body(tmp_path, path) -> None:
    """Status and headers are those of GET, its length among them (RFC 9110, section 9.3.2)."""

    async def main() -> None:
        async with batch_lane(tmp_path / "data", SCRIPT) as lane:
            got, head = await lane.http.get(path), await lane.http.head(path)
            assert (head.status_code, head.content) == (got.status_code, b"")
            assert dict(head.headers) == dict(got.headers)

    asyncio.run(main())
