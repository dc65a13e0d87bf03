"""What every job store holds: jobs change in one transaction, chunk texts are kept once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from speechlane.batch.job import InputFacts, Job, JobRoute
from speechlane.batch.merge import ChunkText, HeardPart
from speechlane.batch.options import JobOptions
from speechlane.batch.seams import JobStore
from speechlane.batch.states import JobState
from speechlane.errors import Conflict, NotFound
from speechlane.provenance import ChunkRecord
from speechlane.storage.database import Database
from speechlane.storage.jobs import SqlJobStore
from speechlane.storage.memory import MemoryJobStore
from speechlane.transcript import Word

pytestmark = pytest.mark.conformance

Opener = Callable[[], AbstractAsyncContextManager[JobStore]]


def a_job(number: int = 1, **changes) -> Job:
    job = Job(
        id=f"job_{number}",
        tenant="default",
        state=JobState.QUEUED,
        created_at=f"2026-11-21T10:00:{number:02d}.000Z",
        updated_at=f"2026-11-21T10:00:{number:02d}.000Z",
        input=InputFacts(
            sha256="0" * 64,
            bytes=9,
            filename="a.wav",
            duration_ms=1000,
            sample_rate=8000,
            channels=1,
            container="wav",
            codec="pcm_s16le",
        ),
        options=JobOptions(metadata={"case": "\u00fc"}),
        route=JobRoute(engine="scripted", model="tiny.en", revision=None, locale=None, reason="deployment default"),
    )
    return replace(job, **changes)


def a_chunk(index: int, text: str = " hello") -> ChunkText:
    values = dict.fromkeys(ChunkRecord.__dataclass_fields__, "x")
    record = ChunkRecord.from_fields({**values, "options": {"beam_size": 5}, "locale_probability": 0.25})
    first = HeardPart(words=(Word(text, 10, 90, 0.5), Word(" you", 90, 91)), language="en", record=record)
    return ChunkText(index=index, parts=(first, HeardPart(words=(), language=None, record=record)))


class JobStoreContract:
    """The seam's rules; a subclass names the implementation by its fixture ``opened``."""

    @staticmethod
    def run(opened: Opener, check: Callable[[JobStore], Awaitable[None]]) -> None:
        async def main() -> None:
            async with opened() as store:
                await check(store)

        asyncio.run(main())

    def test_a_job_comes_back_equal(self, opened: Opener) -> None:
        """What was added is what is got, also after a change; an id is added once."""

        async def check(store: JobStore) -> None:
            job = a_job()
            await store.add(job)
            assert await store.get("job_1") == job
            changed = await store.change("job_1", lambda now: replace(now, attempts=now.attempts + 1))
            assert changed == replace(job, attempts=1) == await store.get("job_1")
            with pytest.raises(Conflict):
                await store.add(a_job())

        self.run(opened, check)

    def test_another_tenants_job_is_unknown(self, opened: Opener) -> None:
        """The error is the same as for a job that never was."""

        async def check(store: JobStore) -> None:
            await store.add(a_job())
            assert (await store.get("job_1", tenant="default")).id == "job_1"
            with pytest.raises(NotFound) as other:
                await store.get("job_1", tenant="other")
            with pytest.raises(NotFound) as never:
                await store.get("job_2", tenant="other")
            assert other.value.code == never.value.code == "unknown_job"

        self.run(opened, check)

    def test_concurrent_changes_are_all_kept(self, opened: Opener) -> None:
        """Each change sees the one before it."""

        async def check(store: JobStore) -> None:
            await store.add(a_job())
            one_more = (store.change("job_1", lambda now: replace(now, attempts=now.attempts + 1)) for _ in range(10))
            await asyncio.gather(*one_more)
            assert (await store.get("job_1")).attempts == 10

        self.run(opened, check)

    def test_a_refused_change_changes_nothing(self, opened: Opener) -> None:
        """What the change raises comes out, and the job stays as it was."""

        async def check(store: JobStore) -> None:
            await store.add(a_job(state=JobState.SUCCEEDED))
            with pytest.raises(Conflict):
                await store.change("job_1", lambda now: now.entered(JobState.PROCESSING, "later"))
            assert await store.get("job_1") == a_job(state=JobState.SUCCEEDED)
            with pytest.raises(NotFound):
                await store.change("job_2", lambda now: now)

        self.run(opened, check)

    def test_unfinished_jobs_come_oldest_first(self, opened: Opener) -> None:
        """Ended jobs are not among them."""

        async def check(store: JobStore) -> None:
            for number, state in ((3, "queued"), (1, "processing"), (2, "succeeded"), (4, "failed"), (5, "queued")):
                await store.add(a_job(number, state=JobState(state)))
            assert list(await store.unfinished()) == ["job_1", "job_3", "job_5"]

        self.run(opened, check)

    def test_an_input_in_use_is_known(self, opened: Opener) -> None:
        """By its digest, whoever posted it."""

        async def check(store: JobStore) -> None:
            assert not await store.uses_input("0" * 64)
            await store.add(a_job(tenant="other", state=JobState.FAILED))
            assert await store.uses_input("0" * 64)
            assert not await store.uses_input("1" * 64)

        self.run(opened, check)

    def test_a_chunk_is_kept_once(self, opened: Opener) -> None:
        """The first text under an index stays; chunks come in order of index; each is found alone."""

        async def check(store: JobStore) -> None:
            await store.add(a_job())
            assert await store.add_chunk("job_1", a_chunk(1)) == a_chunk(1)
            assert await store.add_chunk("job_1", a_chunk(0)) == a_chunk(0)
            assert await store.add_chunk("job_1", a_chunk(1, " other")) == a_chunk(1)
            assert list(await store.chunks("job_1")) == [a_chunk(0), a_chunk(1)]
            assert await store.chunk("job_1", 1) == a_chunk(1)
            assert await store.chunk("job_1", 2) is None
            assert list(await store.chunks("job_2")) == []
            with pytest.raises(NotFound):
                await store.add_chunk("job_2", a_chunk(0))

        self.run(opened, check)


class TestMemoryJobStore(JobStoreContract):
    @pytest.fixture
    def opened(self) -> Opener:
        @asynccontextmanager
        async def opened() -> AsyncIterator[JobStore]:
            yield MemoryJobStore()

        return opened


class TestSqlJobStore(JobStoreContract):
    @pytest.fixture
    def opened(self, tmp_path: Path) -> Opener:
        @asynccontextmanager
        async def opened() -> AsyncIterator[JobStore]:
            database = await Database.open(str(tmp_path / "speechlane.db"))
            try:
                yield SqlJobStore(database)
            finally:
                await database.aclose()

        return opened
