"""Jobs and the texts of their chunks in the database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from speechlane.batch.job import Job
from speechlane.batch.merge import ChunkText
from speechlane.batch.states import ENDED
from speechlane.errors import Conflict, NotFound
from speechlane.storage.database import Database
from speechlane.storage.tables import job_chunks, jobs


class SqlJobStore:
    """`batch.seams.JobStore` over two tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, job: Job) -> None:
        try:
            async with self._database.writing() as connection:
                await connection.execute(jobs.insert().values(id=job.id, created_at=job.created_at, **_columns(job)))
        except IntegrityError as error:
            raise job_exists(job.id) from error

    async def get(self, job_id: str, *, tenant: str | None = None) -> Job:
        async with self._database.reading() as connection:
            return await _read(connection, job_id, tenant)

    async def change(self, job_id: str, change: Callable[[Job], Job]) -> Job:
        async with self._database.writing() as connection:
            changed = change(await _read(connection, job_id, None))
            await connection.execute(update(jobs).where(jobs.c.id == job_id).values(**_columns(changed)))
        return changed

    async def unfinished(self) -> Sequence[str]:
        query = select(jobs.c.id).where(jobs.c.state.not_in(sorted(ENDED))).order_by(jobs.c.created_at, jobs.c.id)
        async with self._database.reading() as connection:
            return list(await connection.scalars(query))

    async def uses_input(self, sha256: str) -> bool:
        query = select(jobs.c.id).where(jobs.c.input_sha256 == sha256).limit(1)
        async with self._database.reading() as connection:
            return await connection.scalar(query) is not None

    async def add_chunk(self, job_id: str, chunk: ChunkText) -> ChunkText:
        async with self._database.writing() as connection:
            await _read(connection, job_id, None)
            known = await connection.scalar(
                select(job_chunks.c.body).where(job_chunks.c.job_id == job_id, job_chunks.c.chunk_index == chunk.index)
            )
            if known is not None:
                return ChunkText.from_fields(known)
            await connection.execute(
                job_chunks.insert().values(job_id=job_id, chunk_index=chunk.index, body=chunk.as_fields())
            )
        return chunk

    async def chunk(self, job_id: str, index: int) -> ChunkText | None:
        query = select(job_chunks.c.body).where(job_chunks.c.job_id == job_id, job_chunks.c.chunk_index == index)
        async with self._database.reading() as connection:
            body = await connection.scalar(query)
        return ChunkText.from_fields(body) if body is not None else None

    async def chunks(self, job_id: str) -> Sequence[ChunkText]:
        query = select(job_chunks.c.body).where(job_chunks.c.job_id == job_id).order_by(job_chunks.c.chunk_index)
        async with self._database.reading() as connection:
            return [ChunkText.from_fields(body) for body in await connection.scalars(query)]


def unknown_job(job_id: str) -> NotFound:
    return NotFound("unknown_job", f"There is no job {job_id}. Check the id that POST /v1/jobs gave.", field="id")


def job_exists(job_id: str) -> Conflict:
    return Conflict("job_exists", f"There is a job {job_id} already. Give the new one its own id.", field="id")


async def _read(connection: AsyncConnection, job_id: str, tenant: str | None) -> Job:
    query = select(jobs.c.body).where(jobs.c.id == job_id)
    if tenant is not None:
        query = query.where(jobs.c.tenant == tenant)
    body = await connection.scalar(query)
    if body is None:
        raise unknown_job(job_id)
    return Job.from_fields(body)


def _columns(job: Job) -> dict[str, Any]:
    return {
        "tenant": job.tenant,
        "state": job.state.value,
        "updated_at": job.updated_at,
        "input_sha256": job.input.sha256,
        "body": job.as_fields(),
    }
