"""The local store of weights: files are checked by sha256 each time before they are used.

Layout: ``ROOT/NAME/REVISION/FILE``. A revision's folder appears whole, by one rename (`pull`), and is only read
afterwards. Checking all files of tiny.en takes about 0.1 s, so nothing is remembered about an earlier check.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from speechlane.errors import DigestMismatch, ModelUnavailable, StorageFailed
from speechlane.local.pins import FilePin, ModelPin, find_pin, read_pins
from speechlane.local.program import command


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A folder in which every file of the pin was found with its digest."""

    path: Path
    pin: ModelPin


@dataclass(frozen=True, slots=True)
class Fault:
    """A file that is not what its pin says; ``found`` is the sha256 it has, or None when it is not there."""

    file: FilePin
    found: str | None

    def __str__(self) -> str:
        if self.found is None:
            return f"{self.file.name} is missing"
        return f"{self.file.name} has sha256 {self.found}, pinned is {self.file.sha256}"


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """One row of ``speechlane models list``.

    ``path`` is the model's folder when all its files lie there in their pinned sizes (digests are not computed), else
    None. ``complete`` says whether every file is pinned; only complete models can be pulled and used.
    """

    name: str
    revision: str
    digest: str | None
    path: str | None
    languages: tuple[str, ...]
    complete: bool

    def as_fields(self) -> dict[str, object]:
        """The row under the names of the protocol (section 5), ready for JSON."""
        return {**asdict(self), "languages": list(self.languages)}


def list_models(root: Path) -> tuple[ModelStatus, ...]:
    """Every known model, smallest first, and where it lies in the store."""
    return tuple(
        ModelStatus(
            name=pin.name,
            revision=pin.revision,
            digest=pin.digest,
            path=str(folder_of(pin, root)) if pin.complete and _seems_whole(folder_of(pin, root), pin) else None,
            languages=pin.languages,
            complete=pin.complete,
        )
        for pin in read_pins()
    )


def open_model(name: str, root: Path) -> ModelFolder:
    """The model's folder in the store, every file of it checked by sha256 just now. Never touches the network.

    Raises:
        NotFound: ``unknown_model``.
        ModelUnavailable: ``incomplete_pin``, or ``model_missing`` when a file is not in the store.
        DigestMismatch: ``digest_mismatch`` names each wrong file, the pinned and the found digest.
        StorageFailed: ``models_unreadable``.
    """
    return open_pinned(find_pin(name), root)


def open_pinned(pin: ModelPin, root: Path) -> ModelFolder:
    """As `open_model`, for a pin at hand."""
    require_complete(pin)
    path = folder_of(pin, root)
    faults = faults_in(path, pin)
    mend = f"Run: {command(f'models pull {pin.name}')}"
    wrong = [fault for fault in faults if fault.found is not None]
    if wrong:
        told = "; ".join(str(fault) for fault in wrong)
        raise DigestMismatch("digest_mismatch", f"{pin.name} in {path} is refused: {told}. {mend}", field="model")
    if faults:
        told = ", ".join(fault.file.name for fault in faults)
        raise ModelUnavailable("model_missing", f"{pin.name} is not whole in {path}: no {told}. {mend}", field="model")
    return ModelFolder(path, pin)


def require_complete(pin: ModelPin) -> None:
    """Refuse a model of which not every file is pinned.

    Raises:
        ModelUnavailable: ``incomplete_pin``; ``limit`` holds the names of the models that can be used.
    """
    if not pin.complete:
        usable = [other.name for other in read_pins() if other.complete]
        raise ModelUnavailable(
            "incomplete_pin",
            f"{pin.name} is not offered: not all its files are pinned, so they could not be checked. "
            f"Use one of: {', '.join(usable)}.",
            field="model",
            limit=list(usable),
        )


def folder_of(pin: ModelPin, root: Path) -> Path:
    """Where a model of that pin lies in the store."""
    return root / pin.name / pin.revision


def faults_in(path: Path, pin: ModelPin) -> Sequence[Fault]:
    """The files of the folder that are not what the pin says, in the pin's order; empty when all are right.

    Raises:
        StorageFailed: ``models_unreadable`` names the file and the reason.
    """
    found = [(file, sha256_of(path / file.name)) for file in pin.files]
    return [Fault(file, digest) for file, digest in found if digest != file.sha256]


def sha256_of(path: Path) -> str | None:
    """sha256 of a file's bytes as 64 hex digits, or None when there is no such file.

    Raises:
        StorageFailed: ``models_unreadable`` names the file and the reason.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StorageFailed(
            "models_unreadable", f"{path} cannot be read ({error.strerror}). Correct its permissions.", field="models"
        ) from error


def _seems_whole(path: Path, pin: ModelPin) -> bool:
    try:
        return all((path / file.name).stat().st_size == file.size for file in pin.files)
    except OSError:
        return False
