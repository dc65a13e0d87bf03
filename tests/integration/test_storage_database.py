"""The database on a real disk: schema, append-only triggers, refusals, the held data folder."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from speechlane.errors import AddressInUse, StorageFailed
from speechlane.storage.database import Database
from speechlane.storage.folder import held_data_folder
from speechlane.storage.tables import metadata

pytestmark = pytest.mark.integration

A_CHUNK = (
    "INSERT INTO chunks (tenant, chunk_id, chain, chunk_index, hash, engine, model, audio_sha256, at, record)"
    " VALUES ('default', 'c1', 'job:j1', 0, 'h', 'e', 'm', 'a', '2026', '{}')"
)


def test_the_migrations_build_the_schema_that_the_code_uses(tmp_path: Path) -> None:
    """Tables as migrated and tables as declared do not differ."""

    async def differences() -> list:
        database = await Database.open(str(tmp_path / "speechlane.db"))
        try:
            async with database.reading() as connection:
                return await connection.run_sync(
                    lambda plain: compare_metadata(MigrationContext.configure(plain), metadata)
                )
        finally:
            await database.aclose()

    assert asyncio.run(differences()) == []


def test_opening_again_keeps_what_is_there(tmp_path: Path) -> None:
    """Migrations run once; rows outlive a close, and the write-ahead log is folded in."""
    path = tmp_path / "speechlane.db"

    async def write() -> None:
        database = await Database.open(str(path))
        async with database.writing() as connection:
            await connection.execute(text(A_CHUNK))
        await database.aclose()

    async def read() -> int:
        database = await Database.open(str(path))
        try:
            async with database.reading() as connection:
                return (await connection.execute(text("SELECT count(*) FROM chunks"))).scalar_one()
        finally:
            await database.aclose()

    asyncio.run(write())
    assert not path.with_name("speechlane.db-wal").exists()
    assert asyncio.run(read()) == 1


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE chunks SET record = '{\"edited\": true}'",
        "DELETE FROM chunks",
        A_CHUNK.replace("INSERT INTO", "INSERT OR REPLACE INTO"),
    ],
    ids=["update", "delete", "replace"],
)
def test_the_registry_table_refuses_every_change(tmp_path: Path, change: str) -> None:
    """The database itself refuses to change or remove a stored record."""

    async def attempt() -> str:
        database = await Database.open(str(tmp_path / "speechlane.db"))
        try:
            async with database.writing() as connection:
                await connection.execute(text(A_CHUNK))
            with pytest.raises(IntegrityError, match="append-only"):
                async with database.writing() as connection:
                    await connection.execute(text(change))
            async with database.reading() as connection:
                return (await connection.execute(text("SELECT record FROM chunks"))).scalar_one()
        finally:
            await database.aclose()

    assert asyncio.run(attempt()) == "{}"


def test_an_error_inside_a_transaction_undoes_it(tmp_path: Path) -> None:
    """What was written before the error is not there after it."""

    async def attempt() -> int:
        database = await Database.open(str(tmp_path / "speechlane.db"))
        try:
            with contextlib.suppress(RuntimeError):
                async with database.writing() as connection:
                    await connection.execute(text(A_CHUNK))
                    raise RuntimeError("halfway")
            async with database.reading() as connection:
                return (await connection.execute(text("SELECT count(*) FROM chunks"))).scalar_one()
        finally:
            await database.aclose()

    assert asyncio.run(attempt()) == 0


@pytest.mark.parametrize("kind", ["not a database", "no such folder"])
def test_a_database_that_cannot_be_opened_is_told(tmp_path: Path, kind: str) -> None:
    """The error names the file, the reason and the setting, and nothing new lies on the disk."""
    path = tmp_path / "speechlane.db" if kind == "not a database" else tmp_path / "missing" / "speechlane.db"
    if kind == "not a database":
        path.write_bytes(b"just some text, longer than a header, that is no database at all" * 40)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StorageFailed) as caught:
        asyncio.run(Database.open(str(path)))
    assert caught.value.code == "database_failed"
    assert str(path) in caught.value.message
    assert caught.value.field == "data"
    assert sorted(tmp_path.rglob("*")) == before


def test_a_full_disk_is_told_and_leaves_the_rows_as_they_were(tmp_path: Path) -> None:
    """A write that finds no room raises StorageFailed; the earlier rows stay readable, of the new ones none is there.

    The disk is made full for this process alone by a limit on the size of files.
    """

    async def write_a_megabyte(database: Database) -> None:
        async with database.writing() as connection:
            for number in range(50):
                row = A_CHUNK.replace("'c1'", f"'big-{number}'").replace("0, 'h'", f"{number + 1}, 'h'")
                await connection.execute(text(row.replace("'{}'", f"'{'x' * 20_000}'")))

    async def fill() -> int:
        database = await Database.open(str(tmp_path / "speechlane.db"))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            async with database.writing() as connection:
                await connection.execute(text(A_CHUNK))
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
            with pytest.raises(StorageFailed, match=r"speechlane\.db"):
                await write_a_megabyte(database)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        try:
            async with database.reading() as connection:
                return (await connection.execute(text("SELECT count(*) FROM chunks"))).scalar_one()
        finally:
            await database.aclose()

    assert signal.getsignal(signal.SIGXFSZ) is signal.SIG_IGN, "Python turns the limit's signal into an OSError"
    assert asyncio.run(fill()) == 1


def test_a_data_folder_is_held_by_one_process(tmp_path: Path) -> None:
    """A second holder is refused by name; after the first has gone the folder is free again."""
    with held_data_folder(tmp_path / "data") as folder:
        assert folder.work.is_dir()
        assert folder.objects.is_dir()
        with pytest.raises(AddressInUse) as caught, held_data_folder(tmp_path / "data"):
            pass
        assert caught.value.code == "data_folder_in_use"
        assert str(tmp_path / "data") in caught.value.message
    with held_data_folder(tmp_path / "data"):
        pass


def test_a_killed_holder_frees_the_data_folder(tmp_path: Path) -> None:
    """The lock ends with the process, however it ends."""
    program = (
        "import sys; from pathlib import Path; from speechlane.storage.folder import held_data_folder\n"
        "with held_data_folder(Path(sys.argv[1])):\n    print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(AddressInUse), held_data_folder(tmp_path):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with held_data_folder(tmp_path):
        pass


def test_an_unwritable_data_folder_is_told(tmp_path: Path) -> None:
    """The error names the folder, the system's reason and the way out."""
    if os.geteuid() == 0:  # root passes by permission bits; a file in the way stops anyone
        (tmp_path / "data").write_text("in the way")
    else:
        (tmp_path / "data").mkdir(mode=0o500)
    with pytest.raises(StorageFailed) as caught, held_data_folder(tmp_path / "data" / "inner"):
        pass
    assert caught.value.code == "data_folder_unwritable"
    assert str(tmp_path / "data" / "inner") in caught.value.message
    assert "--data" in caught.value.message
