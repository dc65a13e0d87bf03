"""The model hub as a source: plain HTTP downloads at a pinned revision, resumed where they broke off.

Protocol: ``GET ENDPOINT/REPOSITORY/resolve/REVISION/FILE`` of the Hugging Face Hub, answered directly or by redirects
to where the bytes lie; ``Range`` and ``206`` as in RFC 9110, section 14. A revision is a commit, so what lies behind
such an address never changes and a beginning stays good. Why not huggingface_hub: docs/decisions/0002-weights.md.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from typing import TypeAlias

import httpx

from speechlane import __version__
from speechlane.errors import DigestMismatch, ModelUnavailable
from speechlane.local.pins import FilePin
from speechlane.local.staging import Staging, storing, wrong_size

ENDPOINT = "https://huggingface.co"
_ROUNDS = 5
_Opened: TypeAlias = tuple[httpx.Response, ExitStack]


class HubSource:
    """Fetches each file from a hub that speaks the Hugging Face protocol.

    Args:
        endpoint: address of the hub.
        offline: do not use it at all.
        reach_s: how long one request may take to be answered, name lookup and redirects included.
        stall_s: how long the transfer may pause.
    """

    name = "model hub"

    def __init__(
        self, endpoint: str = ENDPOINT, *, offline: bool = False, reach_s: float = 4.5, stall_s: float = 20.0
    ) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._offline = offline
        self._reach_s = reach_s
        self._stall_s = stall_s

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> HubSource:
        """The hub that ``HF_ENDPOINT`` names, or the public one; not used while ``HF_HUB_OFFLINE`` is set."""
        offline = environ.get("HF_HUB_OFFLINE", "").strip().upper() in {"1", "ON", "YES", "TRUE"}
        return cls(environ.get("HF_ENDPOINT") or ENDPOINT, offline=offline)

    def fetch(self, staging: Staging) -> None:
        """See `Source.fetch`."""
        if self._offline:
            raise ModelUnavailable("source_skipped", "not asked, because HF_HUB_OFFLINE is set")
        missing = staging.missing()
        staging.require_room(sum(file.size - _size_of(staging, file) for file in missing))
        for file in missing:
            resumed = _size_of(staging, file) > 0
            self._download(staging, file)
            try:
                staging.accept(file)
            except DigestMismatch:
                if not resumed:
                    raise
                # The beginning was left by an earlier pull and may be what is wrong.
                self._download(staging, file)
                staging.accept(file)

    def _download(self, staging: Staging, file: FilePin) -> None:
        """Let the part grow to its whole size; a broken transfer goes on as long as each round brings something."""
        for remaining in reversed(range(_ROUNDS)):
            before = _size_of(staging, file)
            try:
                self._transfer(staging, file, before)
            except (httpx.TransportError, httpx.StreamError) as error:
                if not remaining or _size_of(staging, file) <= before:
                    raise ModelUnavailable(
                        "source_failed", f"the transfer of {file.name} broke off ({_told(error)})", retryable=True
                    ) from error
            else:
                return

    def _transfer(self, staging: Staging, file: FilePin, offset: int) -> None:
        if offset == file.size:
            return
        response, opened = self._open(staging, file, offset)
        with opened:
            if response.status_code == httpx.codes.PARTIAL_CONTENT:
                span = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
                if span is None or int(span[1]) != offset:
                    raise ModelUnavailable("source_failed", f"answers another range of {file.name} than asked")
            elif response.status_code == httpx.codes.OK:
                offset = 0
            else:
                raise ModelUnavailable(
                    "source_failed",
                    f"answers {response.status_code} {response.reason_phrase} for {response.request.url}".rstrip(),
                )
            length = response.headers.get("Content-Length", "")
            if length.isdecimal() and offset + int(length) != file.size:
                staging.part(file).unlink(missing_ok=True)
                raise wrong_size(file, str(offset + int(length)))
            with staging.writing(file, resume=offset > 0) as write:
                for chunk in response.iter_raw():
                    write(chunk)

    def _open(self, staging: Staging, file: FilePin, offset: int) -> _Opened:
        """The answer's head, within ``reach_s`` in all.

        The request runs in a thread of its own, because neither the lookup of a name nor trying one address after
        the other can be bounded from outside. A thread that is left behind closes what it may still open.
        """
        pin = staging.pin
        url = f"{self._endpoint}/{pin.repository}/resolve/{pin.revision}/{file.name}"
        # Ranges count bytes as they lie there, so they must come unpacked.
        headers = {"Accept-Encoding": "identity", "User-Agent": f"speechlane/{__version__}"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        answer: Future[_Opened] = Future()

        def ask() -> None:
            try:
                answer.set_result(self._request(url, headers))
            except Exception as error:  # noqa: BLE001 - carried over to the waiting thread, which tells kinds apart
                answer.set_exception(error)

        threading.Thread(target=ask, name="hub request", daemon=True).start()
        try:
            return answer.result(timeout=self._reach_s)
        except TimeoutError:
            answer.add_done_callback(_close)
            raise self._unreachable(f"no answer within {self._reach_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, ImportError) as error:
            # OSError: a certificate file that is not there. ValueError: a host that cannot be a name.
            # ImportError: a proxy of a kind that needs a package.
            raise self._unreachable(_told(error)) from error

    def _unreachable(self, reason: str) -> ModelUnavailable:
        return ModelUnavailable("source_unreachable", f"{self._endpoint} cannot be reached ({reason})", retryable=True)

    def _request(self, url: str, headers: Mapping[str, str]) -> _Opened:
        timeout = httpx.Timeout(self._stall_s, connect=self._reach_s)
        with ExitStack() as stack:
            client = stack.enter_context(httpx.Client(timeout=timeout, follow_redirects=True))
            response = stack.enter_context(client.stream("GET", url, headers=headers))
            return response, stack.pop_all()


def _size_of(staging: Staging, file: FilePin) -> int:
    """Bytes of the file's beginning that can be built on."""
    part = staging.part(file)
    with storing(staging.root):
        size = part.stat().st_size if part.exists() else 0
        if size > file.size:
            part.unlink()
            return 0
    return size


def _close(answer: Future[_Opened]) -> None:
    if answer.exception() is None:
        answer.result()[1].close()


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")
