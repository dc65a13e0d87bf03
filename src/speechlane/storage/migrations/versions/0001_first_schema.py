"""Jobs, the texts of their chunks, and the append-only registry."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "chunks",
        sa.Column("row", sa.Integer, primary_key=True),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("chunk_id", sa.String, nullable=False),
        sa.Column("chain", sa.String, nullable=False),
        sa.Column("chunk_index", sa.Integer, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("engine", sa.String, nullable=False),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("revision", sa.String),
        sa.Column("locale", sa.String),
        sa.Column("audio_sha256", sa.String(64), nullable=False),
        sa.Column("at", sa.String, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        sa.UniqueConstraint("tenant", "chunk_id", name="uq_chunks_tenant_chunk_id"),
        sa.UniqueConstraint("tenant", "chain", "chunk_index", name="uq_chunks_tenant_chain_chunk_index"),
    )
    for columns in (("engine",), ("model", "revision"), ("locale",), ("audio_sha256",), ("at",)):
        op.create_index("_".join(("ix_chunks_tenant", *columns)), "chunks", ["tenant", *columns])
    for change in ("UPDATE", "DELETE"):  # SQLite's form of a trigger
        op.execute(
            f"CREATE TRIGGER chunks_refuse_{change.lower()} BEFORE {change} ON chunks "
            "BEGIN SELECT RAISE(ABORT, 'chunks is append-only'); END"
        )

    op.create_table(
        "jobs",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
        sa.Column("updated_at", sa.String, nullable=False),
        sa.Column("input_sha256", sa.String(64), nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
    )
    for columns in (("tenant", "created_at"), ("state",), ("input_sha256",)):
        op.create_index("_".join(("ix_jobs", *columns)), "jobs", list(columns))

    op.create_table(
        "job_chunks",
        sa.Column("job_id", sa.String, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("chunk_index", sa.Integer, primary_key=True),
        sa.Column("body", sa.JSON, nullable=False),
    )
