"""A model hub on a loopback port: the Hugging Face protocol of file downloads, and the ways in which it fails.

``GET /REPOSITORY/resolve/REVISION/FILE`` answers with ``ETag`` and ``X-Repo-Commit``: small files at once, large ones
by a redirect to another address, as the hub does for what lies in its large-file store. ``Range`` is honoured.
"""

from __future__ import annotations

import hashlib
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

REDIRECT_FROM = 1 << 16
"""Bytes from which a file is served by redirect."""


@dataclass(frozen=True)
class Served:
    """One answered transfer: of what file, from which byte on, how many bytes."""

    file: str
    start: int
    sent: int


@dataclass
class ModelHub:
    """Serves ``files`` of one repository at one revision while used as a context manager.

    ``cuts``: per file, after how many bytes each of its next transfers breaks off. ``stalls``: files whose transfer
    stops after so many bytes without closing. ``silent``: connections are taken and never answered. ``ranges``: False
    ignores ``Range``, as some caches do. ``status``: per file, an answer other than success.
    """

    repository: str
    revision: str
    files: dict[str, bytes]
    cuts: dict[str, list[int]] = field(default_factory=dict)
    stalls: dict[str, int] = field(default_factory=dict)
    status: dict[str, int] = field(default_factory=dict)
    silent: bool = False
    ranges: bool = True
    served: list[Served] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self.closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def bytes_of(self, file: str) -> int:
        """How many bytes of the file went out, over all transfers."""
        return sum(item.sent for item in self.served if item.file == file)


class _Handler(BaseHTTPRequestHandler):
    hub: ModelHub

    def do_GET(self) -> None:
        hub = self.hub
        hub.requests.append(self.path)
        if hub.silent:
            hub.closing.wait()
            return
        resolved = re.fullmatch(rf"/{re.escape(hub.repository)}/resolve/{hub.revision}/([^/]+)", self.path)
        stored = re.fullmatch(r"/large-files/([^/]+)", self.path)
        file = (resolved or stored or [None, ""])[1]
        if file not in hub.files:
            self.send_error(404, "Entry not found")
        elif file in hub.status:
            self.send_error(hub.status[file])
        elif resolved and len(hub.files[file]) >= REDIRECT_FROM:
            self.send_response(302)
            self.send_header("Location", f"/large-files/{file}")
            self.send_header("X-Repo-Commit", hub.revision)
            self.send_header("X-Linked-Size", str(len(hub.files[file])))
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._send(file, hub.files[file])

    def _send(self, file: str, content: bytes) -> None:
        hub = self.hub
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")) if hub.ranges else None
        start = int(asked[1]) if asked else 0
        if asked and start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", hub.revision)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        rest = content[start:]
        if hub.cuts.get(file):
            rest = rest[: hub.cuts[file].pop(0)]
        if file in hub.stalls:
            rest = rest[: hub.stalls[file]]
        self.wfile.write(rest)
        self.wfile.flush()
        hub.served.append(Served(file, start, len(rest)))
        if file in hub.stalls:
            hub.closing.wait()

    def log_message(self, *_: object) -> None:
        """Nothing on the tests' standard error."""
