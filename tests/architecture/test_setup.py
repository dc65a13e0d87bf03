"""Set-up as a newcomer meets it: it finds a Python or says which, mends what was cut off, and is the images' too."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.architecture

CONTRACT = {"setup", "demo", "test", "serve", "check", "bench"}


@pytest.fixture
def checkout(repository: Path, tmp_path: Path) -> Path:
    """A checkout that holds only what set-up itself is made of."""
    root = tmp_path / "checkout"
    shutil.copytree(repository / "scripts", root / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(repository / name, root)
    return root


def set_up(root: Path) -> subprocess.CompletedProcess[str]:
    command = 'python=$(sh scripts/find-python.sh) && "$python" -I scripts/setup.py'
    return subprocess.run(["sh", "-c", command], cwd=root, capture_output=True, text=True, check=True)


def test_set_up_mends_what_was_cut_off_and_then_has_nothing_to_do(checkout: Path) -> None:
    """After an install that was killed half-way the next run starts anew; the run after it changes and says nothing."""
    environment, state = checkout / ".venv", checkout / ".venv" / "setup.json"
    half_a_package = environment / "lib" / "half_a_package.py"
    half_a_package.parent.mkdir(parents=True)
    half_a_package.touch()
    state.write_text(json.dumps({"root": str(checkout), "busy": "yes"}), encoding="utf-8")

    assert "rebuilding .venv" in set_up(checkout).stderr
    assert not half_a_package.exists()
    assert json.loads(state.read_text(encoding="utf-8")) == {"root": str(checkout)}
    subprocess.run([environment / "bin" / "python", "-c", "import pip"], check=True)

    made = state.stat().st_mtime_ns
    again = set_up(checkout)
    assert (again.stdout, again.stderr, state.stat().st_mtime_ns) == ("", "", made)


@pytest.mark.parametrize(
    ("state", "python", "whole"),
    [
        pytest.param({"root": "HERE"}, "exit 0", True, id="finished here"),
        pytest.param({}, "exit 0", True, id="made by hand"),
        pytest.param({"root": "HERE", "busy": "yes"}, "exit 0", False, id="cut off"),
        pytest.param({"root": "elsewhere"}, "exit 0", False, id="moved"),
        pytest.param({"root": "HERE"}, "exit 1", False, id="python too old or without pip"),
        pytest.param({"root": "HERE"}, None, False, id="python removed"),
    ],
)
def test_an_environment_is_whole_or_made_anew(
    checkout: Path, state: dict[str, str], python: str | None, *, whole: bool
) -> None:
    """Only an environment that was finished in this very folder, and whose Python runs its pip, is kept."""
    program = checkout / ".venv" / "bin" / "python"
    program.parent.mkdir(parents=True)
    if python is None:
        program.symlink_to(checkout / "removed")
    else:
        program.write_text(f"#!/bin/sh\n{python}\n", encoding="utf-8")
        program.chmod(0o755)
    if state:
        text = json.dumps(state).replace("HERE", str(checkout))
        (checkout / ".venv" / "setup.json").write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("setup_script", checkout / "scripts" / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    assert script.is_whole() is whole


def test_without_a_fitting_python_set_up_says_what_to_install(repository: Path, tmp_path: Path) -> None:
    """Too old a Python, or one without venv, is named with its fault and the next step; nothing is made."""
    for name, fault in {"python3": "is 3.9", "python3.12": "is 3.12 without venv and pip"}.items():
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho '{fault}' >&2\nexit 1\n", encoding="utf-8")
        program.chmod(0o755)
    for tool in ("sh", "head", "cat"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or tool)

    answer = subprocess.run(
        ["sh", repository / "scripts" / "find-python.sh"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert answer.returncode == 1
    assert answer.stdout == ""
    assert f"{tmp_path}/python3: is 3.9\n" in answer.stderr
    assert f"{tmp_path}/python3.12: is 3.12 without venv and pip\n" in answer.stderr
    assert "Next step: install one" in answer.stderr


def outside_make() -> dict[str, str]:
    """The environment as a person has it: a make that runs the tests hands its own flags on."""
    return {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}}


def recipe(repository: Path, target: str) -> str:
    """What make would run for the target."""
    answer = subprocess.run(
        ["make", "--no-print-directory", "-n", target],
        cwd=repository,
        env=outside_make(),
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout


@pytest.mark.parametrize("target", sorted(CONTRACT))
def test_every_target_does_its_own_set_up(repository: Path, target: str) -> None:
    """The targets of the contract's section 5 work from a bare checkout: set-up comes first in each."""
    first = recipe(repository, target).splitlines()[0]
    assert "scripts/setup.py runtime" in first
    if target != "check":  # which reads the code and runs no model
        assert first.endswith("weights")


def test_ci_runs_what_a_newcomer_runs(repository: Path) -> None:
    """CI is `make test` on a clean checkout: no step of its own that others would miss."""
    lines = (repository / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    commands = [line for line in lines if line and not line.startswith("#")]
    assert commands[0] == "set -euo pipefail"
    assert commands[-1] == "make test"
    assert len(commands) == 3
    steps = recipe(repository, "test")
    assert all(step in steps for step in ("ruff format --check", "ruff check", "mypy", "lint-imports", "pytest"))


@pytest.mark.parametrize("name", ["docker/Dockerfile", "gpu.Dockerfile"])
def test_images_install_what_ci_installs(repository: Path, name: str) -> None:
    """An image adds system packages and a user; all else it installs with `make setup`, a part of `make test`."""
    instructions = (repository / name).read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    runs = [line.removeprefix("RUN ") for line in instructions if line.startswith("RUN ")]
    assert runs[-1] == "make setup"
    commands = [shlex.split(part) for run in runs[:-1] for part in run.split("&&")]
    assert {command[0] for command in commands} <= {"apt-get", "rm", "useradd", "install"}
    set_up_step = recipe(repository, "setup").splitlines()[0]
    steps = re.search(r"setup\.py (.*)$", set_up_step)
    assert steps is not None
    assert set(steps[1].split()) <= set(recipe(repository, "test").splitlines()[0].split())


@pytest.mark.parametrize("name", ["docker/Dockerfile", "gpu.Dockerfile"])
def test_images_serve_as_no_root_and_tell_their_health(repository: Path, name: str) -> None:
    """The server runs as a user of its own, says where it listens, and is asked whether it is alive."""
    text = (repository / name).read_text(encoding="utf-8")
    assert re.search(r"^USER (?!root)\w+$", text, re.MULTILINE)
    assert "EXPOSE 8700" in text
    assert "/healthz" in text
    assert 'CMD ["serve", "--host", "0.0.0.0"]' in text


def test_an_image_gets_what_set_up_reads(repository: Path) -> None:
    """Everything that `make setup` reads is let through .dockerignore; so is nothing secret."""
    lines = (repository / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert lines[1] == "*"
    assert allowed >= {"Makefile", "README.md", "LICENSE", "pyproject.toml", "models", "scripts", "src"}
    assert "requirements/runtime.txt" in allowed
    assert all((repository / path).exists() for path in allowed)
    assert not allowed & {".", ".env", ".git", "data", "docker"}
