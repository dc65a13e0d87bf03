"""The object store in a folder that refuses: full, in the way, unwritable."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path

import pytest

from speechlane.errors import StorageFailed
from speechlane.storage.objects import ObstoreObjects

pytestmark = pytest.mark.integration


def test_a_full_disk_leaves_no_half_object(tmp_path: Path) -> None:
    """Where there is no room the error names the folder, no file remains, and an older object stays whole."""
    store = ObstoreObjects.in_folder(tmp_path / "objects")
    (tmp_path / "input").write_bytes(b"x" * 3_000_000)

    async def fill() -> None:
        await store.put("kept", b"older")
        for attempt in (store.put("kept", b"y" * 3_000_000), store.put_file("new", str(tmp_path / "input"))):
            with pytest.raises(StorageFailed) as caught:
                await attempt
            assert caught.value.code == "object_store_failed"
            assert str(tmp_path / "objects") in caught.value.message
            assert "free space" in caught.value.message

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        asyncio.run(fill())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in (tmp_path / "objects").rglob("*")] == ["kept"]
    assert (tmp_path / "objects" / "kept").read_bytes() == b"older"


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A file in the way of the folder is an error that names it."""
    (tmp_path / "objects").write_text("in the way")
    with pytest.raises(StorageFailed, match="objects"):
        asyncio.run(ObstoreObjects.in_folder(tmp_path / "objects" / "inner").put("a", b"x"))
