"""The registry seam: append-only, one chain of records per session or job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from speechlane.provenance.record import ChunkRecord


@dataclass(frozen=True, slots=True)
class ChunkQuery:
    """What to look for; None matches anything.

    ``since`` and ``until`` bound ``at`` (RFC 3339 UTC text, since <= at < until).
    ``cursor`` is the opaque text of the previous page; ``limit`` is 1..1000 records.
    """

    job: str | None = None
    session: str | None = None
    engine: str | None = None
    model: str | None = None
    revision: str | None = None
    locale: str | None = None
    audio_sha256: str | None = None
    since: str | None = None
    until: str | None = None
    cursor: str | None = None
    limit: int = 100


class Registry(Protocol):
    """Where chunk records live; implementations pass the registry conformance class."""

    async def append(self, tenant: str, record: ChunkRecord) -> None:
        """Store one sealed record durably before returning.

        Appending the very same record again (same chunk_id and hash) does nothing, so that a step that is run again
        after a crash records its chunk once.

        Raises:
            Conflict: ``chunk_exists`` for another record under the same chunk_id, ``broken_chain`` when ``previous``
                is not the hash of the chain's last record.
            StorageFailed: the store cannot be written.
        """
        ...

    async def chain(self, tenant: str, *, session: str | None = None, job: str | None = None) -> Sequence[ChunkRecord]:
        """All records of one session or job in order of index."""
        ...

    async def search(self, tenant: str, query: ChunkQuery) -> tuple[Sequence[ChunkRecord], str | None]:
        """Matching records, newest first, and the cursor of the next page or None."""
        ...
