"""The storage seams without a disk: for tests, and for embedding where nothing needs to last."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from speechlane.batch.job import Job
from speechlane.batch.merge import ChunkText
from speechlane.batch.states import ENDED
from speechlane.provenance import ChunkQuery, ChunkRecord
from speechlane.storage.jobs import job_exists, unknown_job
from speechlane.storage.registry import chain_name, chain_of, check_link, check_query, locale_of, refuse_other


class MemoryRegistry:
    """`provenance.Registry` in a list."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, ChunkRecord]] = []
        self._hashes: dict[tuple[str, str], str] = {}
        self._chains: dict[tuple[str, str], list[ChunkRecord]] = {}

    async def append(self, tenant: str, record: ChunkRecord) -> None:
        known = self._hashes.get((tenant, record.chunk_id))
        if known is not None:
            refuse_other(record, known)
            return
        chain = self._chains.get((tenant, chain_of(record)), [])
        check_link(record, (chain[-1].index, chain[-1].hash) if chain else None)
        self._rows.append((tenant, record))
        self._hashes[tenant, record.chunk_id] = record.hash
        self._chains.setdefault((tenant, chain_of(record)), []).append(record)

    async def chain(self, tenant: str, *, session: str | None = None, job: str | None = None) -> Sequence[ChunkRecord]:
        return list(self._chains.get((tenant, chain_name(session, job)), []))

    async def search(self, tenant: str, query: ChunkQuery) -> tuple[Sequence[ChunkRecord], str | None]:
        check_query(query)
        end = int(query.cursor) if query.cursor is not None else len(self._rows)
        found = [
            (row, record)
            for row, (owner, record) in enumerate(self._rows[:end])
            if owner == tenant and _matches(record, query)
        ]
        found.reverse()
        page = found[: query.limit]
        return [record for _, record in page], str(page[-1][0]) if len(found) > len(page) else None


def _matches(record: ChunkRecord, query: ChunkQuery) -> bool:
    asked_and_found = (
        (query.job, record.job),
        (query.session, record.session),
        (query.engine, record.engine),
        (query.model, record.model),
        (query.revision, record.model_revision),
        (query.locale, locale_of(record)),
        (query.audio_sha256, record.audio_sha256),
    )
    return (
        all(asked is None or asked == found for asked, found in asked_and_found)
        and (query.since is None or query.since <= record.at)
        and (query.until is None or record.at < query.until)
    )


class MemoryJobStore:
    """`batch.seams.JobStore` in dictionaries."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._chunks: dict[str, dict[int, ChunkText]] = {}

    async def add(self, job: Job) -> None:
        if job.id in self._jobs:
            raise job_exists(job.id)
        self._jobs[job.id] = job
        self._chunks[job.id] = {}

    async def get(self, job_id: str, *, tenant: str | None = None) -> Job:
        job = self._jobs.get(job_id)
        if job is None or (tenant is not None and job.tenant != tenant):
            raise unknown_job(job_id)
        return job

    async def change(self, job_id: str, change: Callable[[Job], Job]) -> Job:
        self._jobs[job_id] = change(await self.get(job_id))
        return self._jobs[job_id]

    async def unfinished(self) -> Sequence[str]:
        waiting = [job for job in self._jobs.values() if job.state not in ENDED]
        return [job.id for job in sorted(waiting, key=lambda job: (job.created_at, job.id))]

    async def uses_input(self, sha256: str) -> bool:
        return any(job.input.sha256 == sha256 for job in self._jobs.values())

    async def add_chunk(self, job_id: str, chunk: ChunkText) -> ChunkText:
        await self.get(job_id)
        return self._chunks[job_id].setdefault(chunk.index, chunk)

    async def chunk(self, job_id: str, index: int) -> ChunkText | None:
        return self._chunks.get(job_id, {}).get(index)

    async def chunks(self, job_id: str) -> Sequence[ChunkText]:
        return [chunk for _, chunk in sorted(self._chunks.get(job_id, {}).items())]
