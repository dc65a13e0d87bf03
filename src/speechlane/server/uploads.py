"""A multipart body to a file on disk while it arrives: never whole in memory, refused as soon as it is too large."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from speechlane.errors import InvalidInput, TooLarge
from speechlane.runtime.jobs import JobService
from speechlane.runtime.jobs_audio import Spool, check_upload_size
from speechlane.server.strict_json import read_json

MAX_OPTIONS_BYTES = 65_536
FIELDS = ("file", "options")


@dataclass(slots=True)
class Posted:
    """What came: the recording in its spool, the name that the client gave it, the options as JSON values."""

    spool: Spool
    filename: str | None = None
    options: Any = None


@asynccontextmanager
async def posted_recording(request: Request, jobs: JobService) -> AsyncIterator[Posted]:
    """Read a ``multipart/form-data`` body with a ``file`` and at most one ``options``; the spool goes with the context.

    Raises:
        InvalidInput: ``invalid_body``, ``unknown_field``, ``missing_file``, ``duplicate_field`` or ``invalid_json``.
        TooLarge: ``upload_too_large``, told by the declared length already where there is one.
        StorageFailed: no room for it.
    """
    boundary = _boundary(request)
    declared = request.headers.get("content-length", "")
    if declared.isdigit():  # the form around the file is small; what is over the limit anyway need not be read
        check_upload_size(int(declared) - 2 * MAX_OPTIONS_BYTES, jobs.limits.max_upload_bytes)
    async with jobs.spool() as spool:
        form = _Form(boundary)
        async for data in request.stream():
            for piece in form.feed(data):
                await spool.write(piece)
        form.finish()
        yield Posted(spool, form.filename, form.options())


def _boundary(request: Request) -> bytes:
    kind, parameters = parse_options_header(request.headers.get("content-type", ""))
    if kind == b"application/json":
        raise InvalidInput(
            "not_offered",
            "source.url and source.upload are not offered by this version of the server. Post the recording itself as"
            " multipart/form-data with a field named file.",
            field="source",
        )
    boundary = parameters.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise InvalidInput(
            "invalid_body",
            "The body is not multipart/form-data. Post the recording as a field named file, for example"
            " curl -F file=@talk.wav.",
            field="content-type",
            limit="multipart/form-data",
        )
    return boundary


class _Form:
    """Takes the body's bytes in pieces; gives those of the file back, keeps the options."""

    def __init__(self, boundary: bytes) -> None:
        self.filename: str | None = None
        self._seen: set[str] = set()
        self._field: str | None = None
        self._header_name = b""
        self._header_value = b""
        self._disposition = b""
        self._options = b""
        self._pieces: list[bytes] = []
        self._ended = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise self._invalid(str(error)) from error

    def feed(self, data: bytes) -> list[bytes]:
        """The next bytes of the body; returns those of them that are the file's."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise self._invalid(str(error)) from error
        pieces, self._pieces = self._pieces, []
        return pieces

    def finish(self) -> None:
        """The body's end: it must be whole and hold a file."""
        if not self._ended:
            raise self._invalid("it ends before its last boundary")
        if "file" not in self._seen:
            raise InvalidInput(
                "missing_file", "The form has no field named file. Add the recording under that name.", field="file"
            )

    def options(self) -> Any:
        """The field ``options`` as JSON values, an empty object when it was not sent."""
        return read_json(self._options, "options") if "options" in self._seen else {}

    def _on_part_begin(self) -> None:
        self._field, self._disposition = None, b""

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name = self._header_value = b""

    def _on_headers_finished(self) -> None:
        _, parameters = parse_options_header(self._disposition)
        name = parameters.get(b"name", b"").decode("utf-8", "replace")
        if name not in FIELDS:
            raise InvalidInput(
                "unknown_field",
                f"The form's field {name!r} is not known. Send file, and options as JSON.",
                field=name or None,
                limit=list(FIELDS),
            )
        if name in self._seen:
            raise InvalidInput("duplicate_field", f"{name} was sent twice. Send it once.", field=name)
        self._seen.add(name)
        self._field = name
        if name == "file" and b"filename" in parameters:
            self.filename = parameters[b"filename"].decode("utf-8", "replace")[:255] or None

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._field == "file":
            self._pieces.append(data[start:end])
            return
        self._options += data[start:end]
        if len(self._options) > MAX_OPTIONS_BYTES:
            raise TooLarge(
                "options_too_large",
                f"options is over {MAX_OPTIONS_BYTES} bytes. Send less metadata.",
                field="options",
                limit=MAX_OPTIONS_BYTES,
            )

    def _on_end(self) -> None:
        self._ended = True

    @staticmethod
    def _invalid(fact: str) -> InvalidInput:
        return InvalidInput(
            "invalid_body",
            f"The body is no complete multipart/form-data: {fact}. Send it again whole, with the boundary that the"
            " Content-Type names.",
            field="body",
        )
