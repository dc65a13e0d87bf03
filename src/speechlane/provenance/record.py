"""One record a chunk: everything that made its text, chained by hash within its session or job.

A chunk is the stretch of audio behind one final (live lane) or one decode whose text is kept (batch lane). The chain
follows the idea of a hash-linked log: each record's ``hash`` covers all its other fields, ``previous`` included, so
an edit, a reorder or a gap shows (docs/protocol.md, section 3).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from speechlane.provenance.digest import digest_of

GENESIS = "0" * 64
"""``previous`` of a chain's first record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkRecord:
    """Section 3 of the protocol, field by field. Times of audio in ms; ``at`` is UTC, RFC 3339; unknown is None."""

    chunk_id: str
    lane: Literal["live", "batch"]
    session: str | None
    job: str | None
    index: int
    channel: int
    start_ms: int
    end_ms: int
    audio_sha256: str
    engine: str
    engine_version: str
    model: str
    model_revision: str | None
    model_digest: str | None
    locale_requested: str
    locale_detected: str | None
    locale_probability: float | None
    options: dict[str, Any]
    options_digest: str
    padded_ms: int
    prefix_tokens_sha256: str | None
    batch_size: int
    partial_decodes: int
    preprocess_digest: str
    postprocess_digest: str
    device: str | None
    compute_type: str | None
    vendor_request_id: str | None
    region: str | None
    attempt: int
    route_reason: str
    queued_ms: int
    compute_ms: int
    billed_ms: int | None
    cost: float | None
    text_sha256: str
    at: str
    previous: str = GENESIS
    hash: str = ""

    def sealed(self, previous: str) -> ChunkRecord:
        """The record linked behind ``previous`` (the last record's hash, or GENESIS), with its own hash set."""
        return replace(self, previous=previous, hash=digest_of(self._body() | {"previous": previous}))

    def expected_hash(self) -> str:
        """What ``hash`` must be: the digest of all other fields."""
        return digest_of(self._body())

    def _body(self) -> dict[str, Any]:
        body = self.as_fields()
        del body["hash"]
        return body

    def as_fields(self) -> dict[str, Any]:
        """The record under its wire names; ``options`` is the record's own, not to be changed."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_fields(cls, values: dict[str, Any]) -> ChunkRecord:
        """The record of its wire names; fields that later versions may add are not accepted silently."""
        return cls(**{item.name: values[item.name] for item in fields(cls)})
