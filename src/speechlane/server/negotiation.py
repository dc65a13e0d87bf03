"""Which transcript format an ``Accept`` header asks for."""

from __future__ import annotations

from speechlane.errors import InvalidInput

# What `Accept` may name, by format; the first is the default.
ACCEPTED = {
    "application/json": "json",
    "text/plain": "txt",
    "application/x-subrip": "srt",
    "text/vtt": "vtt",
}


def accepted(accept: str) -> str:
    """The format that an `Accept` header likes best (RFC 9110, section 12.5.1).

    Raises:
        InvalidInput: ``unsupported_format`` when it likes none of them.
    """
    best, best_weight = "", 0.0
    for media_type, name in ACCEPTED.items():
        kind = media_type.partition("/")[0]
        weights = _weights(accept)
        weight = next((weights[wish] for wish in (media_type, f"{kind}/*", "*/*") if wish in weights), 0.0)
        if weight > best_weight:
            best, best_weight = name, weight
    if not best:
        raise InvalidInput(
            "unsupported_format",
            f"Accept: {accept[:200]!r} names none of {', '.join(ACCEPTED)}. Name one of them, or use format=.",
            field="accept",
            limit=list(ACCEPTED),
        )
    return best


def _weights(accept: str) -> dict[str, float]:
    weights = {}
    for entry in accept.split(","):
        media_type, *parameters = (part.strip().lower() for part in entry.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = float(parameter[2:])
                except ValueError:
                    weight = 0.0
        weights[media_type] = weight
    return weights
