"""A job's states and its value."""

from __future__ import annotations

import json

import pytest

from speechlane.batch.job import InputFacts, Job, JobRoute
from speechlane.batch.options import JobOptions
from speechlane.batch.states import ENDED, TRANSITIONS, JobState
from speechlane.errors import Conflict, EngineFailed

pytestmark = pytest.mark.unit

QUEUED = Job(
    id="job_1",
    tenant="default",
    state=JobState.QUEUED,
    created_at="2026-11-21T10:00:00.000Z",
    updated_at="2026-11-21T10:00:00.000Z",
    input=InputFacts(
        sha256="0" * 64,
        bytes=9,
        filename="a.wav",
        duration_ms=None,
        sample_rate=8000,
        channels=1,
        container="wav",
        codec="pcm_s16le",
    ),
    options=JobOptions(language="en", diarize="speaker"),
    route=JobRoute(engine="scripted", model="tiny.en", revision="0d3d19a", locale=None, reason="deployment default"),
)


def in_state(state: JobState) -> Job:
    return Job.from_fields({**QUEUED.as_fields(), "state": state})


def test_the_table_holds_every_state_and_ends_stay_ends() -> None:
    """Each state has its row; what is over is never taken up again."""
    assert set(TRANSITIONS) == set(JobState)
    assert {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED, JobState.EXPIRED} == ENDED


@pytest.mark.parametrize("state", JobState)
@pytest.mark.parametrize("following", JobState)
def test_a_job_moves_only_as_the_table_says(state, following) -> None:
    """A step in the table, or staying, is taken; any other is a conflict that names what is allowed."""
    job = in_state(state)
    if following == state or following in TRANSITIONS[state]:
        assert job.entered(following, "2026-11-21T11:00:00.000Z").state is following
    else:
        with pytest.raises(Conflict) as caught:
            job.entered(following, "2026-11-21T11:00:00.000Z")
        assert caught.value.limit == sorted(TRANSITIONS[state])


def test_a_stage_keeps_its_first_moment() -> None:
    """A step that is run again after a crash does not move the timeline."""
    once = QUEUED.entered(JobState.PROCESSING, "2026-11-21T11:00:00.000Z", stage="started")
    again = once.entered(JobState.PROCESSING, "2026-11-21T12:00:00.000Z", stage="started", attempts=2)
    assert again.timeline == {"started": "2026-11-21T11:00:00.000Z"}
    assert (again.updated_at, again.attempts) == ("2026-11-21T12:00:00.000Z", 2)


def test_a_failure_shows_its_error() -> None:
    """A failed job carries the error's fields under their wire names."""
    failed = QUEUED.failed(EngineFailed("engine_failed", "It raised.").as_fields(), "2026-11-21T11:00:00.000Z")
    assert failed.as_wire()["error"]["code"] == "engine_failed"
    assert failed.as_wire()["error"]["retryable"] is True


def test_a_job_survives_its_stored_form() -> None:
    """JSON and back gives the same job."""
    job = QUEUED.entered(
        JobState.PROCESSING,
        "2026-11-21T11:00:00.000Z",
        stage="started",
        progress=(1, 3),
        warnings=({"code": "truncated", "message": "Cut off."},),
        outputs={"transcript.json": {"sha256": "1" * 64, "bytes": 3}},
    )
    assert Job.from_fields(json.loads(json.dumps(job.as_fields()))) == job


def test_the_wire_form_has_the_contracts_fields() -> None:
    """Every field of the protocol is there, null where this version does not know it; the tenant is not shown."""
    wire = QUEUED.as_wire()
    assert set(wire) == {
        *("id", "state", "created_at", "updated_at", "input", "options", "route", "progress", "attempts", "cost"),
        *("timeline", "reused_from", "error", "outputs", "callback", "warnings"),
    }
    assert wire["cost"] == {"estimated": None, "actual": None, "currency": None}
    assert wire["progress"] == {"chunks_done": None, "chunks_total": None}
