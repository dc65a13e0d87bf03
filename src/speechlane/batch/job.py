"""A job as clients see it: one frozen value, changed only by making the next one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from speechlane.batch.options import JobOptions, parse_options
from speechlane.batch.states import JobState, check_transition


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFacts:
    """What was posted: digest and size of the file, and what its headers say; None is what they do not say."""

    sha256: str
    bytes: int
    filename: str | None
    duration_ms: int | None
    sample_rate: int
    channels: int
    container: str
    codec: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRoute:
    """Which engine works a job off, and why; ``locale`` is the language decoded in, None until it is found."""

    engine: str
    model: str
    revision: str | None
    locale: str | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job; times are RFC 3339 UTC.

    ``timeline`` holds the moment of each stage reached; a stage keeps its first moment when a step is run again.
    ``progress`` is (chunks done, chunks in all), None before the chunks are known. ``outputs`` maps an artifact's
    name to its ``sha256`` and ``bytes``. ``warnings`` say what a transcript lacks (``code``, ``message``).
    """

    id: str
    tenant: str
    state: JobState
    created_at: str
    updated_at: str
    input: InputFacts
    options: JobOptions
    route: JobRoute
    progress: tuple[int, int] | None = None
    attempts: int = 0
    timeline: Mapping[str, str] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    outputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    warnings: tuple[Mapping[str, str], ...] = ()

    def entered(self, state: JobState, at: str, *, stage: str | None = None, **changes: Any) -> Job:
        """The job in its next state (or the same), with other fields changed and a stage of the timeline noted.

        Raises:
            Conflict: ``job_state`` when the transition table does not hold the step.
        """
        check_transition(self.state, state)
        timeline = self.timeline if stage is None or stage in self.timeline else {**self.timeline, stage: at}
        return replace(self, state=state, updated_at=at, timeline=timeline, **changes)

    def failed(self, error: Mapping[str, Any], at: str) -> Job:
        """The job ended by an error, whose fields (`SpeechlaneError.as_fields`) it shows from now on."""
        return self.entered(JobState.FAILED, at, error=error)

    def succeeded(self, at: str, *, outputs: Mapping[str, Mapping[str, Any]], locale: str | None) -> Job:
        """The job done: what it put out, and the language found where none was asked for."""
        route = replace(self.route, locale=self.route.locale or locale)
        return self.entered(JobState.SUCCEEDED, at, stage="published", outputs=outputs, route=route)

    def as_wire(self) -> dict[str, Any]:
        """The fields of the wire contract; what this version does not know is null."""
        done, total = self.progress if self.progress is not None else (None, None)
        return {
            "id": self.id,
            "state": self.state.value,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "input": asdict(self.input),
            "options": self.options.as_fields(),
            "route": asdict(self.route),
            "progress": {"chunks_done": done, "chunks_total": total},
            "attempts": self.attempts,
            "cost": {"estimated": None, "actual": None, "currency": None},
            "timeline": dict(self.timeline),
            "reused_from": None,
            "error": dict(self.error) if self.error is not None else None,
            "outputs": {name: dict(facts) for name, facts in self.outputs.items()},
            "callback": None,
            "warnings": [dict(warning) for warning in self.warnings],
        }

    def as_fields(self) -> dict[str, Any]:
        """JSON values for a job store; `from_fields` reads them back."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return fields | {
            "state": self.state.value,
            "input": asdict(self.input),
            "options": self.options.as_fields(),
            "route": asdict(self.route),
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Job:
        return cls(
            **{
                **fields,
                "state": JobState(fields["state"]),
                "input": InputFacts(**fields["input"]),
                "options": parse_options(fields["options"]),
                "route": JobRoute(**fields["route"]),
                "progress": tuple(fields["progress"]) if fields["progress"] is not None else None,
                "warnings": tuple(fields["warnings"]),
            }
        )
