"""Starts the servers that are measured, watches what they cost, and stops what it started, by process id."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import os
import platform
import re
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

START_S = 180.0
STOP_S = 20.0
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


class Program:
    """A running server: its address, its log, and its costs as the operating system counts them."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self.log = log
        self.url = ""

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    def cpu_seconds(self) -> float | None:
        """CPU time of the process so far; None where there is no /proc to tell it."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory_mib(self) -> float | None:
        """Resident memory of the process; None where there is no /proc to tell it."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        except OSError:
            return None
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        return int(found[1]) / 1024 if found else None

    def log_tail(self, lines: int = 5) -> str:
        """The end of what the server wrote, for when it did not do what it should."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    async def kill(self) -> None:
        """End it at once, as a crash would (SIGKILL)."""
        self._process.kill()
        await self._process.wait()


@contextlib.asynccontextmanager
async def running(
    command: Sequence[str | Path],
    *,
    ready: Callable[[Program], Awaitable[str | None]],
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Program]:
    """Run a server until the block ends; ``ready`` is asked until it tells the address.

    Raises:
        SystemExit: the server ended, or was not ready in time; the end of its log says why.
    """
    task = asyncio.current_task()
    assert task is not None
    # A benchmark that is told to end takes its servers with it.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with tempfile.TemporaryDirectory(prefix="speechlane-bench-") as folder:
        log = Path(folder) / "log"
        with log.open("wb") as sink:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env={**os.environ, **(environment or {})},
            )
        program = Program(process, log)
        try:
            program.url = await _wait_until_ready(program, ready)
            yield program
        finally:
            await _stop(process)


async def _wait_until_ready(program: Program, ready: Callable[[Program], Awaitable[str | None]]) -> str:
    try:
        async with asyncio.timeout(START_S):
            while program.running:
                address = await ready(program)
                if address is not None:
                    return address
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise SystemExit(f"no server after {START_S:.0f} s:\n{program.log_tail(20)}") from None
    raise SystemExit(f"the server ended at its start:\n{program.log_tail(20)}")


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def printed_ready(program: Program) -> str | None:
    """Ready once the log holds a line ``ready URL``."""
    found = re.search(r"^ready (\S+)$", program.log.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    return found[1] if found else None


def free_port() -> int:
    """A port that nothing listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def listening(port: int) -> Callable[[Program], Awaitable[str | None]]:
    """Ready once somebody listens on the port."""

    async def ready(_: Program) -> str | None:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return None
        writer.close()
        return f"http://127.0.0.1:{port}"

    return ready


def speechlane_serve(data: str, **settings: object) -> tuple[list[str], dict[str, str]]:
    """Command and environment of `speechlane serve` on a free port, of the checkout that runs this benchmark."""
    command = [sys.executable, "-c", "from speechlane.cli import main; main()", "serve", "--port", "0", "--data", data]
    return command, {f"SPEECHLANE_{name.upper()}": str(value) for name, value in settings.items() if value is not None}


def machine(*packages: str) -> dict[str, Any]:
    """What the figures were measured on: part of every report."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "platform": platform.platform(terse=True),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in ("speechlane", "ctranslate2", *packages)},
        "load_before": _load(),
    }


def machine_line(facts: Mapping[str, Any]) -> str:
    """The same as one sentence."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return (
        f"{facts['processor']}, {facts['cores']} cores, {facts['platform']}, Python {facts['python']}; {versions}; "
        f"load average before: {facts['load_before']}."
    )


def _load() -> float | None:
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def load_now() -> float | None:
    """The one-minute load average."""
    return _load()


def _processor() -> str:
    with contextlib.suppress(OSError):
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; numbers as they are given, unknown ones as a dash."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join("-" if cell is None else str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)
