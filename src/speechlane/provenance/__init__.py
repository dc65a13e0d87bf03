"""What made each word: records, canonical digests, manifests, the append-only registry seam."""

from speechlane.provenance.digest import canonical_json, digest_of
from speechlane.provenance.record import GENESIS, ChunkRecord
from speechlane.provenance.registry import ChunkQuery, Registry

__all__ = ["GENESIS", "ChunkQuery", "ChunkRecord", "Registry", "canonical_json", "digest_of"]
