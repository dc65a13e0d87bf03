"""Speaker turns, as in NIST's RTTM ``SPEAKER`` lines, with times as sample positions at 16 kHz."""

from __future__ import annotations

from dataclasses import dataclass

from speechlane.errors import InvalidInput

SAMPLES_PER_MS = 16
"""Turns count samples at 16 kHz, words whole milliseconds."""


MAX_SPEAKERS = 1_000
"""More voices than any recording that is taken can hold."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One stretch of one speaker's speech: samples ``start`` (inclusive) to ``end`` (exclusive)."""

    start: int
    end: int
    speaker: str


@dataclass(frozen=True, slots=True)
class SpeakerBounds:
    """How many speakers there are: exactly ``speakers``, or between ``minimum`` and ``maximum``, or unknown (None).

    Raises:
        InvalidInput: ``invalid_speakers`` when a number is under 1 or the bounds contradict each other.
    """

    speakers: int | None = None
    minimum: int | None = None
    maximum: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("speakers", self.speakers), ("min", self.minimum), ("max", self.maximum)):
            if value is not None and not 1 <= value <= MAX_SPEAKERS:
                raise InvalidInput(
                    "invalid_speakers",
                    f"diarize.{name} is {value}; it must be 1 to {MAX_SPEAKERS}, or left out when unknown.",
                    field=f"diarize.{name}",
                    limit=1 if value < 1 else MAX_SPEAKERS,
                )
        low, high = self.minimum, self.maximum
        if (low is not None and high is not None and low > high) or (
            self.speakers is not None and (low is not None or high is not None)
        ):
            raise InvalidInput(
                "invalid_speakers",
                "diarize: give either speakers, or min and max with min <= max.",
                field="diarize",
            )
