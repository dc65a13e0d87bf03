"""What the batch lane asks of storage: a place for jobs and a place for bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from speechlane.batch.job import Job
from speechlane.batch.merge import ChunkText


class JobStore(Protocol):
    """Where jobs and the texts of their chunks live; implementations pass the job store's conformance class.

    Every method raises StorageFailed when the store cannot be read or written.
    """

    async def add(self, job: Job) -> None:
        """Store a new job."""
        ...

    async def get(self, job_id: str, *, tenant: str | None = None) -> Job:
        """The job; with a tenant only if it is that tenant's.

        Raises:
            NotFound: ``unknown_job``; another tenant's job is as unknown as one that never was.
        """
        ...

    async def change(self, job_id: str, change: Callable[[Job], Job]) -> Job:
        """Replace the job by ``change`` of it, in one transaction: of two concurrent changes none is lost.

        Raises:
            NotFound: ``unknown_job``. What ``change`` raises passes through and nothing is stored.
        """
        ...

    async def unfinished(self) -> Sequence[str]:
        """Ids of all jobs that have not ended, oldest first."""
        ...

    async def uses_input(self, sha256: str) -> bool:
        """Whether any job, of any tenant, was posted with this recording."""
        ...

    async def add_chunk(self, job_id: str, chunk: ChunkText) -> ChunkText:
        """Store a chunk's text unless one is stored under its index; answer with the stored one."""
        ...

    async def chunk(self, job_id: str, index: int) -> ChunkText | None:
        """The stored text of one chunk, if any."""
        ...

    async def chunks(self, job_id: str) -> Sequence[ChunkText]:
        """All stored texts of a job in order of index."""
        ...


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object's size in bytes and the sha256 of its content."""

    bytes: int
    sha256: str


class ObjectStore(Protocol):
    """Bytes under keys such as ``inputs/ab/ab12...``; a key holds the whole object or nothing, at any moment.

    Every method raises StorageFailed when the store cannot be read or written, naming where it lies.
    """

    async def put(self, key: str, data: bytes) -> StoredObject:
        """Store or replace an object."""
        ...

    async def put_file(self, key: str, path: str) -> None:
        """Store a file's content; streamed, never whole in memory."""
        ...

    async def get(self, key: str) -> bytes:
        """A whole object.

        Raises:
            NotFound: ``unknown_object``.
        """
        ...

    def as_file(self, key: str) -> AbstractAsyncContextManager[str]:
        """A path under which the object can be read while the context lasts; for decoders that need a file.

        Raises:
            NotFound: ``unknown_object``.
        """
        ...

    async def delete(self, key: str) -> None:
        """Remove an object; nothing happens when there is none."""
        ...
