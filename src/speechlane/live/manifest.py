"""The manifest of a live session: everything that a replay needs (docs/protocol.md, section 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from speechlane.live.config import SessionHead
from speechlane.provenance import ChunkRecord

MANIFEST_VERSION = 1


def session_manifest(
    head: SessionHead,
    *,
    records: Sequence[ChunkRecord],
    duration_ms: int,
    outputs: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """The manifest as JSON values.

    Args:
        head: what the session was made of.
        records: the session's chain in the registry, whole.
        duration_ms: how much audio was heard.
        outputs: ``bytes`` and ``sha256`` of each; empty while the session is not closed.
    """
    wishes = asdict(head.config)
    form = {name: wishes.pop(name) for name in ("encoding", "sample_rate", "bytes_per_frame", "timelines")}
    return {
        "manifest_version": MANIFEST_VERSION,
        "session": head.session,
        "created_at": head.started_at,
        "software": head.software,
        "input": {**form, "duration_ms": duration_ms},
        "options": wishes,
        "preprocessing": {"digest": head.preprocess_digest, "frame_samples": head.frame_samples},
        "policy": asdict(head.policy),
        "routes": [
            asdict(route.identity) | {"pin": route.identity.pin, "reason": route.reason} for route in head.routes
        ],
        "fallback": head.fallback,
        "chunks": [
            {
                "chunk_id": record.chunk_id,
                "channel": record.channel,
                "start_ms": record.start_ms,
                "end_ms": record.end_ms,
                "audio_sha256": record.audio_sha256,
                "padded_ms": record.padded_ms,
                "options": record.options,
                "engine": record.engine,
                "model": record.model,
                "model_revision": record.model_revision,
                "locale_requested": record.locale_requested,
                "text_sha256": record.text_sha256,
                "hash": record.hash,
            }
            for record in records
        ],
        "outputs": {name: dict(facts) for name, facts in outputs.items()},
    }
