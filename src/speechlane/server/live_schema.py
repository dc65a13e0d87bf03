"""Client messages of the live lane, checked: unknown fields are refused by name (docs/protocol.md, section 1)."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from speechlane.audio.format import CONTAINERS, AudioFormat, ContainerFormat
from speechlane.errors import InvalidInput
from speechlane.live.config import SessionConfig
from speechlane.router import RouteRequest
from speechlane.runtime.live_hub import StartRequest
from speechlane.runtime.resume_request import ResumeRequest
from speechlane.server.strict_json import read_json
from speechlane.transcript import normalize_language

MAX_METADATA_BYTES = 16_384

_MUST = {
    "string_type": "text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "literal_error": "{expected}",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "too_long": "at most {max_length} of them",
    "string_pattern_mismatch": "text of the form {pattern}",
}
"""What to send instead, by the type of pydantic's finding."""

_Id = Annotated[str, Field(max_length=200)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Audio(_Strict):
    encoding: str
    sample_rate: int | None = None
    channels: int | None = None


class _Route(_Strict):
    engine: str | None = None
    model: str | None = None
    sla: Literal["interactive", "standard", "economy"] | None = None
    reproducibility: Literal["pinned", "compatible", "any"] | None = None
    privacy: str | None = Field(default=None, pattern=r"^(local_only|region:[A-Za-z0-9-]+|any)$")
    max_cost_per_hour: float | None = Field(default=None, ge=0, strict=False)
    fallback: Literal["never", "before_text", "anytime"] | None = None
    draft: str | None = None


class _Start(_Strict):
    type: Literal["session.start"]
    audio: _Audio
    language: str = "auto"
    interim: bool = True
    words: bool = True
    keyterms: list[Annotated[str, Field(min_length=1, max_length=100)]] = Field(default=[], max_length=100)
    endpointing_ms: int = Field(default=500, ge=200, le=5_000)
    diarize: Literal["none", "speaker", "channel"] = "none"
    route: _Route = _Route()
    archive: bool = False
    metadata: dict[str, Any] = {}


class _Resume(_Strict):
    type: Literal["session.resume"]
    session: _Id
    resume_token: _Id
    after_seq: int = Field(ge=0)


class Flush(_Strict):
    """``audio.flush``."""

    type: Literal["audio.flush"]
    id: _Id | None = None


class Finish(_Strict):
    """``session.finish``."""

    type: Literal["session.finish"]


class Ping(_Strict):
    """``ping``."""

    type: Literal["ping"]
    id: _Id | None = None


Control = Flush | Finish | Ping
_CONTROL: TypeAdapter[Control] = TypeAdapter(Annotated[Control, Field(discriminator="type")])


def read_start(text: str | None) -> StartRequest | ResumeRequest:
    """The first frame of a connection, checked; None when it was binary.

    Raises:
        InvalidInput: whatever is wrong with it, with the field, the limit and the next step.
    """
    if text is None:
        raise InvalidInput(
            "bad_start", "The first frame is binary; send a session.start text frame before the audio.", field="type"
        )
    fields = _object(text)
    kind = fields.get("type")
    if kind not in ("session.start", "session.resume"):
        raise InvalidInput(
            "bad_start",
            f"The first frame has type {str(kind)[:100]!r}; send session.start or session.resume first.",
            field="type",
            limit=["session.start", "session.resume"],
        )
    try:
        if kind == "session.resume":
            ask = _Resume.model_validate(fields)
            return ResumeRequest(ask.session, ask.resume_token, ask.after_seq)
        start = _Start.model_validate(fields)
    except ValidationError as error:
        raise _refusal(kind, error) from error
    return _checked(start)


def _checked(start: _Start) -> StartRequest:
    audio = _format(start.audio)
    if start.diarize == "speaker":
        raise InvalidInput(
            "diarize_unsupported",
            'diarize "speaker" is not offered live. Send "none" or "channel", or post the recording to /v1/jobs.',
            field="diarize",
            limit=["none", "channel"],
        )
    if start.archive:
        raise InvalidInput(
            "archive_unsupported",
            "archive: live sessions are not archived here. Send false, and post the recording to /v1/jobs.",
            field="archive",
        )
    size = len(json.dumps(start.metadata).encode())
    if size > MAX_METADATA_BYTES:
        raise InvalidInput(
            "metadata_too_large",
            f"metadata is {size} bytes of JSON; send at most {MAX_METADATA_BYTES}.",
            field="metadata",
            limit=MAX_METADATA_BYTES,
        )
    raw = audio if isinstance(audio, AudioFormat) else None
    config = SessionConfig(
        encoding=audio.encoding,
        sample_rate=raw.sample_rate if raw else 0,
        bytes_per_frame=raw.bytes_per_frame if raw else 0,
        timelines=raw.channels if raw and start.diarize == "channel" else 1,
        language=normalize_language(start.language),
        interim=start.interim,
        words=start.words,
        endpointing_ms=start.endpointing_ms,
        diarize=start.diarize,
        keyterms=tuple(start.keyterms),
        metadata=start.metadata,
    )
    return StartRequest(audio, config, RouteRequest(**start.route.model_dump()))


def _format(audio: _Audio) -> AudioFormat | ContainerFormat:
    """Raw samples need their numbers; of a container the header alone tells them."""
    if audio.encoding in CONTAINERS:
        given = next((name for name in ("sample_rate", "channels") if getattr(audio, name) is not None), None)
        if given is not None:
            raise InvalidInput(
                "field_not_allowed",
                f"audio.{given} is given, but {audio.encoding} is a container, whose header tells it. Leave it out.",
                field=f"audio.{given}",
            )
        return ContainerFormat(audio.encoding)
    channels = 1 if audio.channels is None else audio.channels
    if audio.sample_rate is None:
        AudioFormat(audio.encoding, 16_000, channels)  # an unknown encoding is the nearer fault
        raise InvalidInput(
            "missing_field", "audio.sample_rate is missing; raw samples need it, in Hz.", field="audio.sample_rate"
        )
    return AudioFormat(audio.encoding, audio.sample_rate, channels)


def read_control(text: str) -> Control:
    """A later text frame, checked.

    Raises:
        InvalidInput: ``bad_message`` with the field and what is known.
    """
    fields = _object(text)
    try:
        return _CONTROL.validate_python(fields)
    except ValidationError as error:
        kind = fields.get("type")
        if kind in ("session.start", "session.resume"):
            raise InvalidInput(
                "already_started",
                f"{kind}: the session has started already. Send it once, as the first frame of a connection.",
                field="type",
            ) from error
        raise _refusal(kind[:100] if isinstance(kind, str) else "message", error) from error


def _object(text: str) -> dict[str, Any]:
    try:
        value = read_json(text.encode("utf-8", errors="surrogatepass"), "The text frame")
    except InvalidInput as problem:
        raise InvalidInput("bad_json", problem.message) from problem
    if not isinstance(value, dict):
        raise InvalidInput(
            "bad_json", f"The text frame is a JSON {type(value).__name__}; send an object with a type.", field="type"
        )
    return value


def _refusal(what: str, error: ValidationError) -> InvalidInput:
    """The first of pydantic's findings, as one sentence with its field and limit."""
    finding = error.errors(include_url=False)[0]
    place = [str(part) for part in finding["loc"] if part not in {"audio.flush", "session.finish", "ping"}]
    field = ".".join(place)[:100] or "type"
    if finding["type"] == "extra_forbidden":
        return InvalidInput(
            "unknown_field",
            f"{what}: the field {field} is not known. Leave it out; docs/protocol.md lists them.",
            field=field,
        )
    if finding["type"] == "missing":
        return InvalidInput("missing_field", f"{what}: the field {field} is missing. Send it.", field=field)
    if finding["type"].startswith("union_tag"):
        return InvalidInput(
            "unknown_type",
            f"{what}: the type is not known or missing. Send audio.flush, session.finish or ping.",
            field="type",
            limit=["audio.flush", "session.finish", "ping"],
        )
    bounds = finding.get("ctx", {})
    limit = next(
        (bounds[name] for name in ("le", "ge", "max_length", "min_length", "expected", "pattern") if name in bounds),
        None,
    )
    must = _MUST.get(finding["type"], "what docs/protocol.md allows").format(**bounds)
    return InvalidInput("invalid_field", f"{what}: {field} is not valid. Send {must}.", field=field, limit=limit)
