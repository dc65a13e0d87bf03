"""The registry in the database: chunk records, append-only and chained (docs/protocol.md, section 3)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from sqlalchemy import Select, desc, select
from sqlalchemy.exc import IntegrityError

from speechlane.errors import Conflict, InvalidInput
from speechlane.provenance import GENESIS, ChunkQuery, ChunkRecord, canonical_json
from speechlane.storage.database import Database
from speechlane.storage.tables import chunks

MAX_PAGE = 1000


class SqlRegistry:
    """`provenance.Registry` over one table; "newest first" is the reverse of the order of arrival."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, tenant: str, record: ChunkRecord) -> None:
        chain = chain_of(record)
        of_tenant = select(chunks.c.hash, chunks.c.chunk_index).where(chunks.c.tenant == tenant)
        try:
            async with self._database.writing() as connection:
                same = (await connection.execute(of_tenant.where(chunks.c.chunk_id == record.chunk_id))).first()
                if same is not None:
                    refuse_other(record, same.hash)
                    return
                last = (
                    await connection.execute(
                        of_tenant.where(chunks.c.chain == chain).order_by(desc(chunks.c.chunk_index)).limit(1)
                    )
                ).first()
                check_link(record, (last.chunk_index, last.hash) if last else None)
                await connection.execute(
                    chunks.insert().values(
                        tenant=tenant,
                        chunk_id=record.chunk_id,
                        chain=chain,
                        chunk_index=record.index,
                        hash=record.hash,
                        engine=record.engine,
                        model=record.model,
                        revision=record.model_revision,
                        locale=locale_of(record),
                        audio_sha256=record.audio_sha256,
                        at=record.at,
                        record=canonical_json(record.as_fields()).decode(),
                    )
                )
        except IntegrityError as error:  # another process wrote between the checks and the insert
            raise broken_chain(record) from error

    async def chain(self, tenant: str, *, session: str | None = None, job: str | None = None) -> Sequence[ChunkRecord]:
        query = select(chunks.c.record).where(chunks.c.tenant == tenant, chunks.c.chain == chain_name(session, job))
        async with self._database.reading() as connection:
            rows = (await connection.scalars(query.order_by(chunks.c.chunk_index))).all()
        # Hours of captions are thousands of records, 30 us each: live sessions do not wait for them.
        return await asyncio.to_thread(_read_records, rows)

    async def search(self, tenant: str, query: ChunkQuery) -> tuple[Sequence[ChunkRecord], str | None]:
        check_query(query)
        statement = _filtered(tenant, query).order_by(desc(chunks.c.row)).limit(query.limit + 1)
        async with self._database.reading() as connection:
            rows = (await connection.execute(statement)).all()
        page = rows[: query.limit]
        records = [ChunkRecord.from_fields(json.loads(row.record)) for row in page]
        return records, str(page[-1].row) if len(rows) > len(page) else None


def _read_records(rows: Sequence[str]) -> list[ChunkRecord]:
    return [ChunkRecord.from_fields(json.loads(row)) for row in rows]


def _filtered(tenant: str, query: ChunkQuery) -> Select[tuple[int, str]]:
    statement = select(chunks.c.row, chunks.c.record).where(chunks.c.tenant == tenant)
    equal = {
        chunks.c.engine: query.engine,
        chunks.c.model: query.model,
        chunks.c.revision: query.revision,
        chunks.c.locale: query.locale,
        chunks.c.audio_sha256: query.audio_sha256,
    }
    for column, value in equal.items():
        if value is not None:
            statement = statement.where(column == value)
    if query.job is not None:
        statement = statement.where(chunks.c.chain == chain_name(None, query.job))
    if query.session is not None:
        statement = statement.where(chunks.c.chain == chain_name(query.session, None))
    if query.since is not None:
        statement = statement.where(chunks.c.at >= query.since)
    if query.until is not None:
        statement = statement.where(chunks.c.at < query.until)
    if query.cursor is not None:
        statement = statement.where(chunks.c.row < int(query.cursor))
    return statement


# What both implementations of the seam (this one and `memory`) hold a record and a query to.


def chain_name(session: str | None, job: str | None) -> str:
    """The name of a session's or job's chain; exactly one of them is given."""
    assert (session is None) != (job is None), "a chain belongs to one session or one job"
    return f"session:{session}" if session is not None else f"job:{job}"


def chain_of(record: ChunkRecord) -> str:
    return chain_name(record.session, record.job)


def locale_of(record: ChunkRecord) -> str | None:
    """The language that a chunk was read in: the one found, else the one asked for, else unknown."""
    if record.locale_detected is not None:
        return record.locale_detected
    return None if record.locale_requested == "auto" else record.locale_requested


def check_link(record: ChunkRecord, last: tuple[int, str] | None) -> None:
    """Refuse a record that is not sealed, or is not the next link behind ``last`` (index and hash, None at first)."""
    index, tail = last if last is not None else (-1, GENESIS)
    if record.previous != tail or record.index <= index or record.hash != record.expected_hash():
        raise broken_chain(record)


def refuse_other(record: ChunkRecord, known_hash: str) -> None:
    """Pass over the very same record; refuse another one under the same id."""
    if record.hash != known_hash:
        raise Conflict(
            "chunk_exists",
            f"Another record is stored as chunk {record.chunk_id}; records are never changed. Give the chunk its own"
            " chunk_id.",
            field="chunk_id",
        )


def broken_chain(record: ChunkRecord) -> Conflict:
    return Conflict(
        "broken_chain",
        f"Chunk {record.chunk_id} does not link to the last record of its chain ({chain_of(record)}). Seal it again"
        " behind that record's hash.",
        field="previous",
    )


def check_query(query: ChunkQuery) -> None:
    """Refuse a page size out of bounds and a cursor that no page gave."""
    if not 1 <= query.limit <= MAX_PAGE:
        raise InvalidInput(
            "invalid_limit",
            f"limit is {query.limit}; ask for 1 to {MAX_PAGE} records a page.",
            field="limit",
            limit=MAX_PAGE,
        )
    if query.cursor is not None and not (query.cursor.isascii() and query.cursor.isdigit() and len(query.cursor) < 19):
        raise InvalidInput(
            "invalid_cursor", "cursor is not one that a page gave; leave it out to start at the newest.", field="cursor"
        )
