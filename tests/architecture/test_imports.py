"""The import rules bite, and nothing is imported that set-up would not install."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.architecture

ORDER = "A room imports only from rooms to its right BROKEN"
CORE = "The core takes facts and answers wishes: no clock, no chance, no files, no sockets BROKEN"
NUMBERS = "numpy only where samples are numbers BROKEN"
CLIENT = "A client speaks the protocol and sees nothing of the server's inside BROKEN"


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [program, "--no-cache"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root / "src"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("engine/planted.py", "from speechlane.live import Session", ORDER),
        ("server/planted.py", "from speechlane.settings import Settings", ORDER),
        ("unlisted_room/__init__.py", "", "unlisted_room"),
        ("live/planted.py", "import asyncio", CORE),
        ("batch/planted.py", "from time import monotonic", CORE),
        ("captions/planted.py", "import numpy", NUMBERS),
        ("client/planted.py", "from speechlane.runtime import live_hub", CLIENT),
    ],
)
def test_a_planted_violation_breaks_its_contract(
    repository: Path, tmp_path: Path, module: str, line: str, broken: str
) -> None:
    """An import against the rules fails the check that `make check` runs, and the check names the rule."""
    shutil.copytree(
        repository / "src" / "speechlane",
        tmp_path / "src" / "speechlane",
        ignore=shutil.ignore_patterns("__pycache__", "samples"),
    )
    shutil.copy(repository / "pyproject.toml", tmp_path)
    planted = tmp_path / "src" / "speechlane" / module
    planted.parent.mkdir(exist_ok=True)
    planted.write_text(f'"""Planted by a test."""\n\n{line}\n', encoding="utf-8")

    answer = lint_imports(tmp_path)

    assert answer.returncode == 1, answer.stdout + answer.stderr
    assert broken in answer.stdout, answer.stdout


def test_every_library_that_the_code_imports_is_a_declared_dependency(repository: Path) -> None:
    """A fresh set-up installs what pyproject.toml names; what else happens to lie in .venv must not be relied on."""
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {canonicalize_name(Requirement(text).name) for text in project["dependencies"]}
    distributions = packages_distributions()
    undeclared = {}
    for path in (repository / "src").rglob("*.py"):
        for name in imported_packages(path) - set(sys.stdlib_module_names) - {"speechlane"}:
            owners = {canonicalize_name(owner) for owner in distributions.get(name, [name])}
            if not owners & declared:
                undeclared[f"{path.relative_to(repository)}: {name}"] = owners
    assert undeclared == {}


def imported_packages(path: Path) -> set[str]:
    """The top-level names that a file imports anywhere, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_the_command_line_starts_without_the_heavy_libraries() -> None:
    """`speechlane --help` and the errors of a mistyped command must not wait for models, servers or databases."""
    script = "import speechlane.cli, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    heavy = "alembic av ctranslate2 dbos fastapi faster_whisper huggingface_hub httpx jiwer numpy onnxruntime pydantic"
    heavy += " scipy soundfile soxr sqlalchemy starlette tokenizers uvicorn websockets"
    assert set(heavy.split()) & set(answer.stdout.split()) == set()
