"""Recordings and artifacts as objects under keys, over obstore: a local folder by default."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, MemoryStore
from obstore.store import ObjectStore as Backend

from speechlane.batch.seams import StoredObject
from speechlane.errors import NotFound, StorageFailed


class ObstoreObjects:
    """`batch.seams.ObjectStore` over any of obstore's backends, all of which put an object whole or not at all.

    ``place`` is what errors call the store. ``folder`` is the backend's folder when it is a local one: its objects
    are files already; those of other backends are copied to a temporary file for `as_file`.
    """

    def __init__(self, backend: Backend, place: str, *, folder: Path | None = None) -> None:
        self._backend = backend
        self._place = place
        self._folder = folder

    @classmethod
    def in_folder(cls, folder: Path) -> ObstoreObjects:
        """Objects as files below ``folder``, which is made where it is missing.

        Raises:
            StorageFailed: ``object_store_failed`` when it cannot be made.
        """
        with _told(str(folder), ""):
            return cls(LocalStore(folder, mkdir=True), str(folder), folder=folder)

    @classmethod
    def in_memory(cls) -> ObstoreObjects:
        return cls(MemoryStore(), "the object store in memory")

    async def put(self, key: str, data: bytes) -> StoredObject:
        with _told(self._place, key):
            await obstore.put_async(self._backend, key, data)
        return StoredObject(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())

    async def put_file(self, key: str, path: str) -> None:
        with _told(self._place, key):
            await obstore.put_async(self._backend, key, Path(path))

    async def get(self, key: str) -> bytes:
        with _told(self._place, key):
            result = await obstore.get_async(self._backend, key)
            return bytes(await result.bytes_async())

    @asynccontextmanager
    async def as_file(self, key: str) -> AsyncIterator[str]:
        with _told(self._place, key):
            await obstore.head_async(self._backend, key)
        if self._folder is not None:
            yield str(self._folder / key)
            return
        with tempfile.NamedTemporaryFile() as copy:
            with _told(self._place, key):
                async for piece in (await obstore.get_async(self._backend, key)).stream():
                    copy.write(piece)
                copy.flush()
            yield copy.name

    async def delete(self, key: str) -> None:
        with _told(self._place, key):
            try:
                await obstore.delete_async(self._backend, key)
            except FileNotFoundError:
                return


@contextmanager
def _told(place: str, key: str) -> Iterator[None]:
    """Foreign errors as ours, with the store's name and the first line of its own reason."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound("unknown_object", f"There is no object {key} in {place}. It may have been deleted.") from error
    except (BaseError, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise StorageFailed(
            "object_store_failed",
            f"{place} failed: {reason}. Check that it can be written and has free space.",
            field="data",
        ) from error
