"""Make ``.venv`` whole: the virtual environment, the pinned packages, the program, the demo's weights.

    python scripts/setup.py [STEP...]     # steps, in order: runtime, dev, weights; none: an empty .venv

The Makefile calls it before every target, so a run with nothing to do is quick and needs no network. What was
done is told apart by content (a digest of lock and project file), not by file times, which a fresh clone or a switch
of branches changes. Standard library alone: it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
STATE = VENV / "setup.json"
LOG = VENV / "setup.log"
PYTHON = VENV / "bin" / "python"
LOCKS = {"runtime": ROOT / "requirements" / "runtime.txt", "dev": ROOT / "requirements" / "dev.txt"}
# What the editable install is made from: dependencies, entry points and the version.
PROJECT = (ROOT / "pyproject.toml", ROOT / "src" / "speechlane" / "__init__.py")
OLDEST = (3, 11)
MODEL = "tiny.en"


class SetupFailed(Exception):
    """A step did not work; the message holds the next step."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Make .venv whole.")
    parser.add_argument("steps", nargs="*", metavar="STEP", help="runtime, dev or weights")
    steps = parser.parse_args(arguments).steps
    if unknown := set(steps) - {*LOCKS, "weights"}:
        parser.error(f"no such step: {', '.join(sorted(unknown))}; there are runtime, dev and weights")
    try:
        with one_at_a_time():
            ensure_venv()
            for step in steps:
                pull_weights() if step == "weights" else install(step)
    except SetupFailed as failure:
        say(str(failure))
        return 1
    except OSError as error:
        say(f"set-up stopped: {error}. Free space or mend the permissions, then run make again.")
        return 1
    except KeyboardInterrupt:
        say("interrupted; the next run starts this step again")
        return 130
    return 0


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Two makes at once take turns: a lock on the checkout's folder, which a killed process cannot leave behind."""
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another set-up of this checkout to finish")
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def ensure_venv() -> None:
    if is_whole():
        return
    if VENV.exists():
        say("rebuilding .venv: it is unfinished, was moved, or has no pip or Python that fits")
        shutil.rmtree(VENV)
    say(f"making .venv with Python {'.'.join(map(str, sys.version_info[:3]))}")
    VENV.mkdir()
    write_state({"busy": "yes"})
    try:
        venv.create(VENV, with_pip=True, symlinks=True)
    except subprocess.CalledProcessError as error:
        raise SetupFailed(f"{error}. Try another Python: make setup PYTHON=/path/to/python3") from None
    write_state({})


def is_whole() -> bool:
    """Whether ``.venv`` was finished here and its Python runs its own pip; one made by hand will do.

    Scripts hold absolute paths, so a moved checkout counts as broken; an install that was cut off (``busy``) may have
    left half a package that pip takes for a whole one.
    """
    state = read_state()
    if state.get("root", str(ROOT)) != str(ROOT) or state.get("busy"):
        return False
    probe = f"import sys, pip; sys.exit(sys.version_info[:2] < {OLDEST})"
    try:
        return subprocess.run([PYTHON, "-c", probe], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def install(name: str) -> None:
    """Install a lock and the program, unless this very content is there already."""
    lock = LOCKS[name]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in (lock, *PROJECT))).hexdigest()
    state = read_state()
    if state.get(name) == digest:
        return
    say(f"installing the pinned packages of requirements/{lock.name} (log: {LOG.relative_to(ROOT)})")
    # Wheels only: nothing is compiled, and no build tool comes in past the hashes.
    pip(state, "--only-binary", ":all:", "--require-hashes", "--requirement", str(lock))
    pip(state, "--no-index", "--no-deps", "--no-build-isolation", "--editable", str(ROOT))
    write_state({**state, name: digest})


def pip(state: dict[str, str], *arguments: str) -> None:
    write_state({**state, "busy": "yes"})
    command: list[str | Path] = [
        PYTHON,
        "-m",
        "pip",
        "install",
        "--no-input",
        "--disable-pip-version-check",
        *arguments,
    ]
    with LOG.open("wb") as log, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as run:
        assert run.stdout is not None
        for line in run.stdout:
            log.write(line)
            if line.lstrip().startswith(b"Downloading") and b" MB)" in line:
                say(line.decode(errors="replace").strip(), indent="    ")
    write_state(state)  # pip ended by itself: what it began it finished or rolled back
    if run.returncode:
        last = "\n".join(LOG.read_text(encoding="utf-8", errors="replace").splitlines()[-12:])
        raise SetupFailed(
            f"pip failed; the end of {LOG.relative_to(ROOT)}:\n{last}\n"
            "Next step: the first set-up needs a package index (pip's own settings apply, such as PIP_INDEX_URL and\n"
            "proxies) and 1 GB of disk; there are packages for Linux with glibc and for macOS. Then run make again."
        )


def pull_weights() -> None:
    program = VENV / "bin" / "speechlane"
    # Its progress goes to standard error; standard output belongs to the target, which a script may read as JSON.
    if subprocess.run([program, "models", "pull", MODEL], stdout=subprocess.DEVNULL, check=False).returncode:
        raise SetupFailed(f"the weights of {MODEL} are not there yet (see above); run make again to go on.")


def read_state() -> dict[str, str]:
    try:
        state: dict[str, str] = json.loads(STATE.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state


def write_state(state: dict[str, str]) -> None:
    """Replace the record in one step, so that a kill leaves the old or the new one."""
    beside = STATE.with_suffix(".new")
    beside.write_text(json.dumps({**state, "root": str(ROOT)}, indent=1), encoding="utf-8")
    beside.replace(STATE)


def say(text: str, indent: str = "==> ") -> None:
    print(f"{indent}{text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
