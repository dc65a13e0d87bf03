"""The data folder: everything that the program writes, held by one process at a time."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from speechlane.errors import AddressInUse, StorageFailed

MIN_FREE_BYTES = 64 << 20
"""Free disk under which the server says that it is not ready: a full disk ends sessions and fails jobs."""


@dataclass(frozen=True, slots=True)
class DataFolder:
    """Where things lie inside the data folder.

    ``database`` holds jobs and the registry, ``workflow_database`` belongs to the workflow engine alone, ``objects``
    is the root of the local object store, ``live`` holds a folder for each session with its event log, and ``work``
    holds spooled uploads and decoded working copies: nothing in it outlives the job or request that wrote it.
    """

    root: Path

    @property
    def database(self) -> Path:
        return self.root / "speechlane.db"

    @property
    def workflow_database(self) -> Path:
        return self.root / "workflow.db"

    @property
    def objects(self) -> Path:
        return self.root / "objects"

    @property
    def live(self) -> Path:
        return self.root / "live"

    @property
    def work(self) -> Path:
        return self.root / "work"

    def check_room(self) -> None:
        """Nothing, while the disk has room for what work in hand writes.

        Raises:
            StorageFailed: ``disk_full``, under `MIN_FREE_BYTES` are free.
        """
        free = shutil.disk_usage(self.root).free
        if free < MIN_FREE_BYTES:
            raise StorageFailed(
                "disk_full",
                f"The disk of {self.root} has {free} bytes free; new work wants {MIN_FREE_BYTES}. Make room there, then"
                " try again.",
                field="data",
                limit=MIN_FREE_BYTES,
                retryable=True,
            )


@contextmanager
def held_data_folder(root: Path) -> Iterator[DataFolder]:
    """Make the folder where it is missing, prove that it can be written, and hold it for this process alone.

    Two processes on one folder would both take up the same unfinished jobs. The lock is the kernel's (flock), so it
    ends with the process however that ends.

    Raises:
        StorageFailed: ``data_folder_unwritable`` when the folder cannot be made or written.
        AddressInUse: ``data_folder_in_use`` when another process holds it.
    """
    folder = DataFolder(root.absolute())
    try:
        folder.work.mkdir(parents=True, exist_ok=True)
        folder.objects.mkdir(exist_ok=True)
        lock = os.open(folder.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise unwritable(folder.root, error) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise AddressInUse(
                "data_folder_in_use",
                f"The data folder {folder.root} is held by another process. Stop that one, or give this one its own"
                " folder with --data.",
                field="data",
            ) from error
        yield folder
    finally:
        os.close(lock)


def unwritable(folder: Path, error: OSError) -> StorageFailed:
    """The error of a data folder that refuses a write, told with the system's own reason and the next step."""
    reason = error.strerror or str(error)
    return StorageFailed(
        "data_folder_unwritable",
        f"The data folder {folder} cannot be written: {reason}. Free space or mend its permissions, or choose another"
        " folder with --data.",
        field="data",
    )
