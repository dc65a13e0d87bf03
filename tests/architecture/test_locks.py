"""The lock files pin all that set-up installs, by digest and without saying where it comes from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.architecture

PIN = re.compile(r"^(?P<requirement>[^\s#-].*?)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", re.MULTILINE)
# A GPU build of these would be gigabytes; the program runs without any of them.
UNWANTED = re.compile(r"^(torch|torchaudio|tensorflow|jax|nvidia|cuda|triton|cupy)\b")


def pins(repository: Path, lock: str) -> dict[str, Requirement]:
    text = (repository / "requirements" / lock).read_text(encoding="utf-8")
    requirements = [Requirement(match["requirement"]) for match in PIN.finditer(text)]
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


def version(pin: Requirement) -> str:
    (specifier,) = pin.specifier
    assert specifier.operator == "=="
    return specifier.version


@pytest.fixture(scope="module")
def pyproject(repository: Path) -> dict[str, Any]:
    """pyproject.toml, read."""
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("lock", ["runtime.txt", "dev.txt"])
def test_a_lock_holds_pins_with_digests_and_nothing_else(repository: Path, lock: str) -> None:
    """No option, address, path or loose version: beside comments, every line is part of an exact pin with digests."""
    text = (repository / "requirements" / lock).read_text(encoding="utf-8")
    rest = PIN.sub("", text)
    assert [line for line in rest.splitlines() if line.strip() and not line.lstrip().startswith("#")] == []
    assert "make lock" in text.partition("\n\n")[0]
    assert not re.search(r"://|file:|^\s*#.*\s/", text, re.MULTILINE)
    assert [name for name in pins(repository, lock) if UNWANTED.match(name)] == []


@pytest.mark.parametrize(("lock", "groups"), [("runtime.txt", ["build"]), ("dev.txt", ["build", "dev"])])
def test_a_lock_satisfies_the_project_file(
    repository: Path, pyproject: dict[str, Any], lock: str, groups: list[str]
) -> None:
    """Each dependency of pyproject.toml is pinned at a version that it allows: `make lock` ran after the last edit."""
    wanted = list(pyproject["project"]["dependencies"])
    for group in groups:
        wanted += [item for item in pyproject["dependency-groups"][group] if isinstance(item, str)]
    held = pins(repository, lock)
    for text in wanted:
        requirement = Requirement(text)
        pin = held.get(canonicalize_name(requirement.name))
        assert pin is not None, f"{requirement.name} is not in {lock}; run make lock"
        assert requirement.specifier.contains(version(pin)), f"{lock} has {pin}, not {requirement}; run make lock"


def test_developers_test_what_users_run(repository: Path) -> None:
    """The development lock holds every pin of the runtime lock, at the same version."""
    runtime, dev = pins(repository, "runtime.txt"), pins(repository, "dev.txt")
    assert {name: version(pin) for name, pin in runtime.items()} == {
        name: version(dev[name]) for name in runtime if name in dev
    }


def test_the_build_tool_is_the_pinned_one(pyproject: dict[str, Any]) -> None:
    """A wheel built by anyone and the editable install of set-up come from the same hatchling."""
    assert set(pyproject["build-system"]["requires"]) <= set(pyproject["dependency-groups"]["build"])
