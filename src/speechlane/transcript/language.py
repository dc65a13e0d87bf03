"""Language tags: BCP-47 in and out, primary subtag for engines (RFC 5646, section 2.1)."""

from __future__ import annotations

import re

from speechlane.errors import InvalidInput

# language[-script][-region]: what speech engines take; variants and extensions carry nothing for recognition.
_TAG = re.compile(r"^(?P<language>[A-Za-z]{2,3})(-(?P<script>[A-Za-z]{4}))?(-(?P<region>[A-Za-z]{2}|[0-9]{3}))?$")


def normalize_language(tag: str, *, field: str = "language") -> str | None:
    """The tag in its canonical case (``en``, ``en-US``, ``zh-Hant-TW``), or None for ``auto``.

    Raises:
        InvalidInput: ``invalid_language`` when the text is no BCP-47 language tag.
    """
    if tag.lower() == "auto":
        return None
    match = _TAG.match(tag)
    if match is None:
        raise InvalidInput(
            "invalid_language",
            f'{field}: {tag[:100]!r} is not a BCP-47 language tag. Send "auto", or a tag such as "en" or "en-US".',
            field=field,
        )
    parts = [match["language"].lower()]
    if match["script"]:
        parts.append(match["script"].title())
    if match["region"]:
        parts.append(match["region"].upper())
    return "-".join(parts)


def primary_subtag(tag: str) -> str:
    """The language alone: ``en`` of ``en-US``."""
    return tag.split("-", 1)[0].lower()
