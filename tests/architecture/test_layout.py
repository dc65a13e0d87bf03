"""Every room has a tenant and a place in the import order; files stay readable in one sitting."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.architecture

LONGEST_FILE = 350


def rooms(repository: Path) -> dict[str, list[Path]]:
    """Each folder of the package with its Python files, ``__init__.py`` included."""
    package = repository / "src" / "speechlane"
    folders = (path for path in package.iterdir() if path.is_dir() and (path / "__init__.py").exists())
    return {folder.name: sorted(folder.rglob("*.py")) for folder in folders}


def ordered_names(repository: Path) -> set[str]:
    """The rooms and files that the import order of pyproject.toml names."""
    contracts = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (order,) = (contract for contract in contracts["contracts"] if contract["type"] == "layers")
    return set(re.findall(r"\w+", " ".join(order["layers"]))) | set(order["exhaustive_ignores"])


def test_every_room_has_a_tenant(repository: Path) -> None:
    """A room is added when something lives in it: at least one of its files defines a function or a class."""
    empty = [name for name, files in rooms(repository).items() if not any(map(defines_something, files))]
    assert empty == []


def defines_something(path: Path) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for node in tree.body)


def test_the_import_order_names_what_is_there(repository: Path) -> None:
    """No layer of the import order stands for a room that does not exist."""
    package = repository / "src" / "speechlane"
    there = {*rooms(repository), *(file.stem for file in package.glob("*.py"))}
    assert ordered_names(repository) - there == set()


def test_no_file_is_too_long(repository: Path) -> None:
    """A file is read in one sitting; one that grows past the bound is two things."""
    long = {}
    for folder in ("src", "tests", "scripts", "benchmarks"):
        for path in (repository / folder).rglob("*.py"):
            lines = path.read_text(encoding="utf-8").count("\n")
            if lines > LONGEST_FILE:
                long[str(path.relative_to(repository))] = lines
    assert long == {}


def test_unit_tests_stand_where_their_room_stands(repository: Path) -> None:
    """Tests of one module are found by its path: each folder of tests/unit is a room."""
    folders = {path.name for path in (repository / "tests" / "unit").iterdir() if path.is_dir()} - {"__pycache__"}
    assert folders - set(rooms(repository)) == set()


def test_importing_any_module_does_no_work(repository: Path) -> None:
    """Only definitions stand at a module's top level: no call whose result nobody keeps, no loop, no file opened."""
    working = []
    for path in (repository / "src").rglob("*.py"):
        if "migrations" in path.parts:  # Alembic runs these files; they are scripts by design
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            bare_call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Await)
            if bare_call or isinstance(node, ast.While | ast.With | ast.Try):
                working.append(f"{path.relative_to(repository)}:{node.lineno}")
    assert working == []
