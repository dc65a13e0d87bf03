"""What every object store holds: whole objects under keys, and errors in our words."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable
from pathlib import Path

import pytest

from speechlane.batch.seams import ObjectStore
from speechlane.errors import NotFound
from speechlane.storage.objects import ObstoreObjects

pytestmark = pytest.mark.conformance


class ObjectStoreContract:
    """The seam's rules; a subclass gives the implementation as the fixture ``store``."""

    @staticmethod
    def run(check: Awaitable[None]) -> None:
        async def main() -> None:
            await check

        asyncio.run(main())

    def test_an_object_comes_back_whole(self, store: ObjectStore) -> None:
        """Put answers with size and digest; get and as_file give the same bytes; a second put replaces them."""

        async def check() -> None:
            for data in (b"first", b"", b"a longer second" * 1000):
                stored = await store.put("jobs/j1/transcript.txt", data)
                assert (stored.bytes, stored.sha256) == (len(data), hashlib.sha256(data).hexdigest())
                assert await store.get("jobs/j1/transcript.txt") == data
                async with store.as_file("jobs/j1/transcript.txt") as path:
                    assert await asyncio.to_thread(Path(path).read_bytes) == data

        self.run(check())

    def test_a_file_is_stored_as_it_is(self, store: ObjectStore, tmp_path: Path) -> None:
        """put_file keeps every byte, also of a file larger than one part of an upload."""
        data = bytes(range(256)) * 50_000
        (tmp_path / "input").write_bytes(data)

        async def check() -> None:
            await store.put_file("inputs/ab/abcd", str(tmp_path / "input"))
            assert await store.get("inputs/ab/abcd") == data

        self.run(check())

    def test_what_is_not_there_is_told(self, store: ObjectStore) -> None:
        """Get and as_file name the key; delete of nothing does nothing."""

        async def check() -> None:
            with pytest.raises(NotFound, match="inputs/none"):
                await store.get("inputs/none")
            with pytest.raises(NotFound, match="inputs/none"):
                async with store.as_file("inputs/none"):
                    pass
            await store.delete("inputs/none")

        self.run(check())

    def test_a_deleted_object_is_gone(self, store: ObjectStore) -> None:
        """After delete the key is free."""

        async def check() -> None:
            await store.put("a/b", b"x")
            await store.delete("a/b")
            with pytest.raises(NotFound):
                await store.get("a/b")

        self.run(check())


class TestFolderObjects(ObjectStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> ObjectStore:
        return ObstoreObjects.in_folder(tmp_path / "objects")


class TestMemoryObjects(ObjectStoreContract):
    @pytest.fixture
    def store(self) -> ObjectStore:
        return ObstoreObjects.in_memory()
