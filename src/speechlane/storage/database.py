"""The one database: opened, migrated, and entered through two doors, ``reading`` and ``writing``.

SQLite by default (WAL, foreign keys, full sync: a commit that returned survives a power cut). The statements of this
room are portable SQL; another database differs in its URL and in the few lines marked as SQLite's here and in the
migrations.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import as_file, files
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Connection, event
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from speechlane.errors import StorageFailed

BUSY_TIMEOUT_MS = 10_000


class Database:
    """An open database at the newest schema; close it with ``aclose``."""

    def __init__(self, engine: AsyncEngine, name: str) -> None:
        self._engine = engine
        self._writer = engine.execution_options(begin="BEGIN IMMEDIATE")
        self._name = name

    @classmethod
    async def open(cls, path: str) -> Database:
        """Open the SQLite file at ``path``, made where it is missing, and bring its schema up to date.

        Raises:
            StorageFailed: ``database_failed`` when the file cannot be opened, read or written.
        """
        try:  # plainly first: what cannot be opened is told without a thread left behind
            await asyncio.to_thread(_prepare_file, path)
        except sqlite3.Error as error:
            raise _failed(path, error) from error
        engine = create_async_engine(URL.create("sqlite+aiosqlite", database=path), pool_size=4)
        event.listen(engine.sync_engine, "connect", _set_up_sqlite)
        event.listen(engine.sync_engine, "begin", _begin)
        database = cls(engine, path)
        try:
            async with database.writing() as connection:
                await connection.run_sync(_migrate)
        except BaseException:
            await engine.dispose()
            raise
        return database

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """One consistent view; never waits for a writer (WAL)."""
        async with self._entered(self._engine) as connection:
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """One transaction, committed on leaving, rolled back on an error.

        The write lock is taken at the start, so what was read inside still holds when it is written.
        IntegrityError passes through: what it means is the caller's to say.
        """
        async with self._entered(self._writer) as connection:
            yield connection

    @asynccontextmanager
    async def _entered(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        try:
            async with engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise _failed(self._name, error) from error

    async def aclose(self) -> None:
        """Close all connections; SQLite folds its write-ahead log into the file with the last one."""
        await self._engine.dispose()


def _failed(name: str, error: SQLAlchemyError | sqlite3.Error) -> StorageFailed:
    reason = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    return StorageFailed(
        "database_failed",
        f"The database {name} failed: {reason}. Check that its folder can be written and has free space.",
        field="data",
    )


def _prepare_file(path: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA journal_mode=WAL")  # once: it stays with the file


_SQLITE_SET_UP = (
    f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA recursive_triggers=ON",  # else INSERT OR REPLACE passes by the triggers on DELETE
)


def _set_up_sqlite(connection: Any, _record: object) -> None:
    # The driver would begin a transaction only before the first change; reads before it would not be covered.
    connection.isolation_level = None
    cursor = connection.cursor()
    for statement in _SQLITE_SET_UP:
        cursor.execute(statement)
    cursor.close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))


def _migrate(connection: Connection) -> None:
    with as_file(files(__package__).joinpath("migrations")) as scripts:
        config = Config()
        config.set_main_option("script_location", str(scripts).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
