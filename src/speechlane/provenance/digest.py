"""Canonical digests: sha256 over the JSON Canonicalization Scheme (RFC 8785)."""

from __future__ import annotations

import hashlib
from typing import Any

import rfc8785


def canonical_json(value: Any) -> bytes:
    """The one byte form of a JSON value (RFC 8785): sorted keys, no spaces, shortest numbers."""
    return rfc8785.dumps(value)


def digest_of(value: Any) -> str:
    """sha256 of the canonical form, as 64 hex digits."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def text_sha256(text: str) -> str:
    """sha256 of a text's UTF-8 bytes."""
    return hashlib.sha256(text.encode()).hexdigest()
