"""The wheel holds all that the program needs beside its dependencies, and works without the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from speechlane import __version__

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the checkout by the pinned hatchling, without network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=repository, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the wheel and nothing else."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"]
    subprocess.run([*command, "--target", str(folder), str(wheel)], check=True, capture_output=True)
    return folder


def run_installed(site: Path, *command: str | Path) -> str:
    """What a program prints with the installed copy on its path, started far from the checkout."""
    environment = {**os.environ, "PYTHONPATH": str(site)}
    answer = subprocess.run(command, cwd=site, env=environment, capture_output=True, text=True, check=True)
    return answer.stdout


def test_the_wheel_holds_models_samples_and_migrations(repository: Path, wheel: Path) -> None:
    """Model pins, the diarizer's models with their licences, bundled speech and schema revisions are all packed."""
    names = set(zipfile.ZipFile(wheel).namelist())
    models = {path.relative_to(repository / "models") for path in (repository / "models").rglob("*.*")}
    packed = {f"speechlane/_models/{path}" for path in models if path.suffix in {".toml", ".onnx"}}
    assert any(name.endswith(".onnx") for name in packed)
    assert "speechlane/_models/tiny.en.toml" in packed
    assert packed <= names
    assert "speechlane/_models/diarization/THIRD_PARTY_LICENSES" in names
    source = repository / "src" / "speechlane"
    samples = {f"speechlane/samples/{path.name}" for path in (source / "samples").glob("*.*")}
    assert samples <= names
    migrations = (source / "storage" / "migrations").rglob("[!_]*.py")
    assert {f"speechlane/{path.relative_to(source)}" for path in migrations} <= names


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    """No tests, caches, weights of speech models or files of the checkout travel with the program."""
    names = zipfile.ZipFile(wheel).namelist()
    roots = {name.partition("/")[0] for name in names}
    assert roots == {"speechlane", f"speechlane-{__version__}.dist-info"}
    assert not [name for name in names if "__pycache__" in name or name.endswith((".bin", ".pyc"))]


def test_the_wheel_says_version_licence_and_program(wheel: Path) -> None:
    """Version, licence and the name of the program reach those who install the wheel."""
    archive = zipfile.ZipFile(wheel)
    information = f"speechlane-{__version__}.dist-info"
    metadata = Parser().parsestr(archive.read(f"{information}/METADATA").decode("utf-8"))
    assert metadata["Version"] == __version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert f"{information}/licenses/LICENSE" in archive.namelist()
    assert "speechlane = speechlane.cli:main" in archive.read(f"{information}/entry_points.txt").decode("utf-8")


def test_the_installed_program_finds_its_models_and_samples(site: Path) -> None:
    """Installed from the wheel, far from the checkout, the program lists its models and reads its bundled speech."""
    script = (
        "import speechlane; from speechlane.samples import sample;"
        "print(speechlane.__file__, sample('jfk.txt').read_text())"
    )
    where, text = run_installed(site, sys.executable, "-c", script).split(maxsplit=1)
    assert Path(where).is_relative_to(site)
    assert "ask not what your country can do for you" in text.lower()

    program = site / "bin" / "speechlane"
    assert run_installed(site, program, "--version").split()[-1] == __version__
    models = json.loads(run_installed(site, program, "models", "list", "--json"))
    assert {"tiny.en", "base"} <= {model["name"] for model in models}
