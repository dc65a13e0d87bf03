"""The states of a job and the one table of their transitions."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType

from speechlane.errors import Conflict


class JobState(enum.StrEnum):
    """Where a job stands; the names are those of the wire contract (docs/protocol.md, section 2)."""

    QUEUED = "queued"
    SUBMITTED = "submitted"  # handed to an engine that works it off elsewhere
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"


TRANSITIONS: Mapping[JobState, frozenset[JobState]] = MappingProxyType(
    {
        JobState.QUEUED: frozenset(
            {JobState.SUBMITTED, JobState.PROCESSING, JobState.FAILED, JobState.CANCELED, JobState.EXPIRED}
        ),
        JobState.SUBMITTED: frozenset({JobState.PROCESSING, JobState.FAILED, JobState.CANCELED, JobState.EXPIRED}),
        JobState.PROCESSING: frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED, JobState.EXPIRED}),
        JobState.SUCCEEDED: frozenset(),
        JobState.FAILED: frozenset(),
        JobState.CANCELED: frozenset(),
        JobState.EXPIRED: frozenset(),
    }
)

ENDED = frozenset(state for state, following in TRANSITIONS.items() if not following)
"""States that a job does not leave."""


def check_transition(now: JobState, then: JobState) -> None:
    """Refuse a step that the table does not hold. A state may be entered again: a step is run again after a crash.

    Raises:
        Conflict: ``job_state`` names both states.
    """
    if then != now and then not in TRANSITIONS[now]:
        raise Conflict(
            "job_state",
            f"The job is {now} and cannot become {then}. Ask for the job's state first.",
            field="state",
            limit=sorted(TRANSITIONS[now]),
        )
