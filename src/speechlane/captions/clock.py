"""Times as caption files write them."""

from __future__ import annotations


def clock(ms: int, separator: str, decimals: int = 3) -> str:
    """``HH:MM:SS`` and the fraction cut to that many decimals; hours have two digits or more."""
    seconds, fraction = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{separator}{f'{fraction:03}'[:decimals]}"
