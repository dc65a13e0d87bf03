"""The schema as SQLAlchemy sees it; `migrations` builds it, and a test holds the two to each other."""

from __future__ import annotations

from sqlalchemy import JSON, Column, ForeignKey, Index, Integer, MetaData, String, Table, Text, UniqueConstraint

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# The registry. Append-only: triggers refuse UPDATE and DELETE. `record` is the whole record in canonical JSON (what
# its hash covers); the other columns only serve to find it. Every index ends in the row number, so a page of results
# in order of arrival is a range read.
chunks = Table(
    "chunks",
    metadata,
    Column("row", Integer, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("chunk_id", String, nullable=False),
    Column("chain", String, nullable=False),  # "job:ID" or "session:ID"
    Column("chunk_index", Integer, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("engine", String, nullable=False),
    Column("model", String, nullable=False),
    Column("revision", String),
    Column("locale", String),
    Column("audio_sha256", String(64), nullable=False),
    Column("at", String, nullable=False),
    Column("record", Text, nullable=False),
    UniqueConstraint("tenant", "chunk_id"),
    UniqueConstraint("tenant", "chain", "chunk_index"),
    Index(None, "tenant", "engine"),
    Index(None, "tenant", "model", "revision"),
    Index(None, "tenant", "locale"),
    Index(None, "tenant", "audio_sha256"),
    Index(None, "tenant", "at"),
)

# A job's public state; the workflow engine keeps its own books elsewhere.
jobs = Table(
    "jobs",
    metadata,
    Column("id", String, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("state", String, nullable=False),
    Column("created_at", String, nullable=False),
    Column("updated_at", String, nullable=False),
    Column("input_sha256", String(64), nullable=False),
    Column("body", JSON, nullable=False),
    Index(None, "tenant", "created_at"),
    Index(None, "state"),
    Index(None, "input_sha256"),
)

# The text of each chunk that was decoded for a job: what a transcript is merged from, and why a step that is run
# again after a crash does not decode again.
job_chunks = Table(
    "job_chunks",
    metadata,
    Column("job_id", String, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("chunk_index", Integer, primary_key=True),
    Column("body", JSON, nullable=False),
)
