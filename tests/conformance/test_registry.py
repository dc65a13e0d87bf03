"""What every registry holds: append-only, chained, once, searchable, one tenant apart from another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from speechlane.errors import Conflict, InvalidInput
from speechlane.provenance import GENESIS, ChunkQuery, ChunkRecord, Registry
from speechlane.storage.database import Database
from speechlane.storage.memory import MemoryRegistry
from speechlane.storage.registry import SqlRegistry

pytestmark = pytest.mark.conformance

Opener = Callable[[], AbstractAsyncContextManager[Registry]]


def a_record(index: int = 0, *, job: str | None = "j1", session: str | None = None, **changes) -> ChunkRecord:
    owner = job or session
    record = ChunkRecord(
        chunk_id=f"{owner}:{index}",
        lane="batch" if job else "live",
        session=session,
        job=job,
        index=index,
        channel=0,
        start_ms=index * 1000,
        end_ms=index * 1000 + 900,
        audio_sha256=f"{index:064x}",
        engine="scripted",
        engine_version="1",
        model="tiny.en",
        model_revision="0d3d19a",
        model_digest=None,
        locale_requested="auto",
        locale_detected=None,
        locale_probability=None,
        options={"beam_size": 5, "temperature": 0.2},
        options_digest="0" * 64,
        padded_ms=30_000,
        prefix_tokens_sha256=None,
        batch_size=1,
        partial_decodes=0,
        preprocess_digest="0" * 64,
        postprocess_digest="0" * 64,
        device="cpu",
        compute_type="int8",
        vendor_request_id=None,
        region=None,
        attempt=1,
        route_reason="only route",
        queued_ms=0,
        compute_ms=12,
        billed_ms=None,
        cost=None,
        text_sha256="0" * 64,
        at=f"2026-11-21T10:00:{index:02d}Z",
    )
    return replace(record, **changes)


def a_chain(count: int, **changes) -> list[ChunkRecord]:
    records: list[ChunkRecord] = []
    for index in range(count):
        records.append(a_record(index, **changes).sealed(records[-1].hash if records else GENESIS))
    return records


class RegistryContract:
    """The seam's rules; a subclass names the implementation by its fixture ``opened``."""

    @staticmethod
    def run(opened: Opener, check: Callable[[Registry], Awaitable[None]]) -> None:
        async def main() -> None:
            async with opened() as registry:
                await check(registry)

        asyncio.run(main())

    def test_a_chain_comes_back_as_it_was_appended(self, opened: Opener) -> None:
        """Records come back equal, in order of index, whole floats and nulls included."""
        records = a_chain(3)

        async def check(registry: Registry) -> None:
            for record in records:
                await registry.append("default", record)
            assert list(await registry.chain("default", job="j1")) == records
            assert list(await registry.chain("default", job="j2")) == []

        self.run(opened, check)

    def test_the_same_record_is_stored_once(self, opened: Opener) -> None:
        """Appending the very same record again changes nothing, also behind later records."""
        records = a_chain(2)

        async def check(registry: Registry) -> None:
            for record in (records[0], records[0], records[1], records[0]):
                await registry.append("default", record)
            assert list(await registry.chain("default", job="j1")) == records

        self.run(opened, check)

    def test_another_record_under_a_known_id_is_refused(self, opened: Opener) -> None:
        """A stored record is never replaced."""
        first = a_record().sealed(GENESIS)

        async def check(registry: Registry) -> None:
            await registry.append("default", first)
            with pytest.raises(Conflict) as caught:
                await registry.append("default", replace(first, text_sha256="1" * 64).sealed(GENESIS))
            assert caught.value.code == "chunk_exists"
            assert list(await registry.chain("default", job="j1")) == [first]

        self.run(opened, check)

    @pytest.mark.parametrize(
        "record",
        [
            a_record(1).sealed("f" * 64),
            a_record(1).sealed(GENESIS),
            a_record(1),
            replace(a_chain(2)[1], end_ms=1),
            a_record(0, chunk_id="again").sealed(a_chain(1)[0].hash),
        ],
        ids=["unknown previous", "genesis twice", "unsealed", "edited after sealing", "index twice"],
    )
    def test_a_record_that_does_not_link_is_refused(self, opened: Opener, record: ChunkRecord) -> None:
        """A chain takes only the sealed record behind its last one."""
        first = a_chain(1)[0]

        async def check(registry: Registry) -> None:
            await registry.append("default", first)
            with pytest.raises(Conflict) as caught:
                await registry.append("default", record)
            assert caught.value.code == "broken_chain"
            assert list(await registry.chain("default", job="j1")) == [first]

        self.run(opened, check)

    def test_concurrent_appends_leave_one_unbroken_chain(self, opened: Opener) -> None:
        """Of records that race for the same place one is stored, the others are told."""
        rivals = [a_record(0, chunk_id=f"rival-{number}").sealed(GENESIS) for number in range(8)]

        async def check(registry: Registry) -> None:
            outcomes = await asyncio.gather(
                *(registry.append("default", rival) for rival in rivals), return_exceptions=True
            )
            assert sum(outcome is None for outcome in outcomes) == 1
            assert {outcome.code for outcome in outcomes if isinstance(outcome, Conflict)} == {"broken_chain"}
            assert len(await registry.chain("default", job="j1")) == 1

        self.run(opened, check)

    def test_pages_hold_every_record_once_newest_first(self, opened: Opener) -> None:
        """Following the cursor gives the reverse order of arrival, complete, and ends."""
        records = a_chain(7)

        async def check(registry: Registry) -> None:
            for record in records:
                await registry.append("default", record)
            found, cursor = await registry.search("default", ChunkQuery(limit=3))
            pages = [len(found)]
            collected = list(found)
            while cursor is not None:
                found, cursor = await registry.search("default", ChunkQuery(limit=3, cursor=cursor))
                pages.append(len(found))
                collected += found
            assert pages == [3, 3, 1]
            assert collected == records[::-1]

        self.run(opened, check)

    def test_each_field_of_a_query_filters(self, opened: Opener) -> None:
        """Each field alone finds exactly the records that bear it."""
        plain = a_record().sealed(GENESIS)
        other = a_record(
            job=None,
            session="s1",
            chunk_id="other",
            engine="faster-whisper",
            model="base",
            model_revision="abc",
            locale_requested="de-AT",
            audio_sha256="e" * 64,
            at="2026-11-22T00:00:00Z",
        ).sealed(GENESIS)
        detected = a_record(job="j9", locale_detected="fr").sealed(GENESIS)

        async def check(registry: Registry) -> None:
            for record in (plain, other, detected):
                await registry.append("default", record)
            for query, expected in (
                (ChunkQuery(job="j1"), [plain]),
                (ChunkQuery(session="s1"), [other]),
                (ChunkQuery(engine="faster-whisper"), [other]),
                (ChunkQuery(model="base"), [other]),
                (ChunkQuery(revision="abc"), [other]),
                (ChunkQuery(locale="de-AT"), [other]),
                (ChunkQuery(locale="fr"), [detected]),
                (ChunkQuery(audio_sha256="e" * 64), [other]),
                (ChunkQuery(since="2026-11-22T00:00:00Z"), [other]),
                (ChunkQuery(until="2026-11-22T00:00:00Z"), [detected, plain]),
                (ChunkQuery(model="tiny.en", job="j9"), [detected]),
                (ChunkQuery(model="large"), []),
            ):
                found, cursor = await registry.search("default", query)
                assert list(found) == expected, query
                assert cursor is None

        self.run(opened, check)

    @pytest.mark.parametrize(
        ("query", "code"),
        [
            (ChunkQuery(limit=0), "invalid_limit"),
            (ChunkQuery(limit=1001), "invalid_limit"),
            (ChunkQuery(cursor="x"), "invalid_cursor"),
            (ChunkQuery(cursor="-1"), "invalid_cursor"),
            (ChunkQuery(cursor="9" * 40), "invalid_cursor"),
        ],
    )
    def test_a_query_out_of_bounds_is_refused(self, opened: Opener, query: ChunkQuery, code: str) -> None:
        """Page sizes and cursors are checked, and the field is named."""

        async def check(registry: Registry) -> None:
            with pytest.raises(InvalidInput) as caught:
                await registry.search("default", query)
            assert caught.value.code == code
            assert caught.value.field in {"limit", "cursor"}

        self.run(opened, check)

    def test_tenants_never_see_each_other(self, opened: Opener) -> None:
        """The same ids under two tenants are two chains; search and chain stay within one."""
        records = a_chain(2)

        async def check(registry: Registry) -> None:
            for record in records:
                await registry.append("red", record)
            await registry.append("blue", records[0])
            assert list(await registry.chain("blue", job="j1")) == records[:1]
            found, _ = await registry.search("blue", ChunkQuery())
            assert list(found) == records[:1]
            assert list(await registry.chain("green", job="j1")) == []

        self.run(opened, check)


class TestMemoryRegistry(RegistryContract):
    @pytest.fixture
    def opened(self) -> Opener:
        @asynccontextmanager
        async def opened() -> AsyncIterator[Registry]:
            yield MemoryRegistry()

        return opened


class TestSqlRegistry(RegistryContract):
    @pytest.fixture
    def opened(self, tmp_path: Path) -> Opener:
        @asynccontextmanager
        async def opened() -> AsyncIterator[Registry]:
            database = await Database.open(str(tmp_path / "speechlane.db"))
            try:
                yield SqlRegistry(database)
            finally:
                await database.aclose()

        return opened
