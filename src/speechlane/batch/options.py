"""What a client may ask of a job: parsed, checked, the unknown refused by name (docs/protocol.md, section 2)."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from speechlane.diarization import SpeakerBounds
from speechlane.engine import Capabilities, EngineIdentity
from speechlane.errors import InvalidInput
from speechlane.transcript import normalize_language
from speechlane.transcript.language import primary_subtag

MAX_METADATA_CHARACTERS = 16_384

# Options of the contract that this version does not carry out yet, each with the values that ask for nothing.
NOT_OFFERED: Mapping[str, tuple[object, ...]] = {
    "keyterms": (None, []),
    "captions": (None, {}),
    "callback_url": (None,),
    "retain_days": (None,),
    "reuse": (None, "never"),
    "preset": (None,),
}
NOT_OFFERED_ROUTE: Mapping[str, tuple[object, ...]] = dict.fromkeys(
    ("engine", "sla", "reproducibility", "privacy", "max_cost_per_hour", "fallback", "draft"), (None,)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """A job's options with their defaults filled in.

    ``language`` is a BCP-47 tag, None for "auto". ``track`` counts a file's audio tracks from 0. ``model`` is
    ``route.model``: a name or a pin.
    """

    language: str | None = None
    diarize: Literal["none", "speaker"] = "none"
    bounds: SpeakerBounds = field(default_factory=SpeakerBounds)
    track: int = 0
    words: bool = True
    model: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def as_fields(self) -> dict[str, Any]:
        """The options under their wire names; `parse_options` reads them back."""
        return {
            "language": self.language or "auto",
            "diarize": {
                "mode": self.diarize,
                "speakers": self.bounds.speakers,
                "min": self.bounds.minimum,
                "max": self.bounds.maximum,
            },
            "channels": "mix",
            "track": self.track,
            "words": self.words,
            "route": {"model": self.model},
            "metadata": dict(self.metadata),
        }


def parse_options(values: object) -> JobOptions:
    """Options as JSON values to options.

    Raises:
        InvalidInput: names the field, its limit and what to send instead: ``unknown_field``, ``invalid_option``,
            ``not_offered`` for an option of the contract that this version does not carry out,
            ``invalid_language``, ``invalid_speakers``.
    """
    fields = _object(values, "options", {*_READERS, *NOT_OFFERED})
    _refuse_not_offered(fields, NOT_OFFERED, "")
    options: dict[str, Any] = {}
    for name, value in fields.items():
        if name in _READERS and value is not None:
            options |= _READERS[name](value)
    return JobOptions(**options)


def check_offered(options: JobOptions, engine: EngineIdentity, capabilities: Capabilities, *, diarizes: bool) -> None:
    """Refuse what this deployment's engine and diarizer cannot do.

    Raises:
        InvalidInput: ``unsupported_language``, ``unknown_model``, ``not_offered``.
    """
    languages = sorted(capabilities.languages)
    if options.language is not None and primary_subtag(options.language) not in capabilities.languages:
        raise InvalidInput(
            "unsupported_language",
            f"language: {options.language} is not one that model {engine.model} hears. Send one of"
            f" {', '.join(languages)}, or start the server with a model that hears it.",
            field="language",
            limit=languages,
        )
    known = [engine.model, engine.pin]
    if options.model is not None and options.model not in known:
        raise InvalidInput(
            "unknown_model",
            f"route.model: {options.model!r} is not served here. Send {' or '.join(known)}, or leave it out.",
            field="route.model",
            limit=known,
        )
    if options.diarize == "speaker" and not diarizes:
        raise _not_offered("diarize.mode", 'Send "none"; this server has no diarizer.', ["none"])


def _language(value: object) -> dict[str, Any]:
    return {"language": normalize_language(_checked(value, "language", str, 'a language tag such as "en"'))}


def _diarize(value: object) -> dict[str, Any]:
    fields = _object(value, "diarize", {"mode", "speakers", "min", "max"})
    mode = fields.get("mode") or "none"
    if mode == "channel":
        raise _not_offered("diarize.mode", 'Send "speaker" or "none".', ["none", "speaker"])
    _one_of(mode, "diarize.mode", ("none", "speaker"))
    counts = {}
    for name, key in (("speakers", "speakers"), ("min", "minimum"), ("max", "maximum")):
        if fields.get(name) is not None:
            counts[key] = _checked(fields[name], f"diarize.{name}", int, "a whole number of speakers")
    if counts and mode == "none":
        raise _invalid("diarize.mode", 'is "none" beside a number of speakers', 'send mode "speaker"', ["speaker"])
    return {"diarize": mode, "bounds": SpeakerBounds(**counts)}


def _channels(value: object) -> dict[str, Any]:
    if value == "separate":
        raise _not_offered("channels", 'Send "mix": the mean of all channels is transcribed.', ["mix"])
    _one_of(value, "channels", ("mix",))
    return {}


def _track(value: object) -> dict[str, Any]:
    track = _checked(value, "track", int, "the number of an audio track, counted from 0")
    if track < 0:
        raise _invalid("track", f"is {track}", "count a file's audio tracks from 0", 0)
    return {"track": track}


def _words(value: object) -> dict[str, Any]:
    return {"words": _checked(value, "words", bool, "true or false")}


def _route(value: object) -> dict[str, Any]:
    fields = _object(value, "route", {"model", *NOT_OFFERED_ROUTE})
    _refuse_not_offered(fields, NOT_OFFERED_ROUTE, "route.")
    model = fields.get("model")
    return {} if model is None else {"model": _checked(model, "route.model", str, "a model's name or pin")}


def _metadata(value: object) -> dict[str, Any]:
    metadata = _checked(value, "metadata", dict, "an object of your own keys")
    size = len(json.dumps(metadata))
    if size > MAX_METADATA_CHARACTERS:
        raise _invalid(
            "metadata",
            f"is {size} characters long as JSON",
            f"keep it within {MAX_METADATA_CHARACTERS}",
            MAX_METADATA_CHARACTERS,
        )
    return {"metadata": metadata}


_READERS: Mapping[str, Callable[[object], dict[str, Any]]] = {
    "language": _language,
    "diarize": _diarize,
    "channels": _channels,
    "track": _track,
    "words": _words,
    "route": _route,
    "metadata": _metadata,
}


def _object(value: object, name: str, known: Collection[str]) -> dict[str, Any]:
    fields: dict[str, Any] = _checked(value, name, dict, "a JSON object")
    prefix = "" if name == "options" else f"{name}."
    for key in fields:
        if key not in known:
            raise InvalidInput(
                "unknown_field",
                f"{prefix}{key} is no option. Known are: {', '.join(sorted(known))}.",
                field=f"{prefix}{key}",
                limit=sorted(known),
            )
    return fields


def _checked(value: object, name: str, kind: type, must: str) -> Any:
    # bool is an int to Python, not to a client
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _invalid(name, f"is {_shown(value)}", f"send {must}", None)
    return value


def _one_of(value: object, name: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise _invalid(name, f"is {_shown(value)}", f"send one of {', '.join(allowed)}", list(allowed))


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _refuse_not_offered(fields: Mapping[str, Any], names: Mapping[str, tuple[object, ...]], prefix: str) -> None:
    for name, neutral in names.items():
        if name in fields and fields[name] not in neutral:
            raise _not_offered(f"{prefix}{name}", "Leave it out.", None)


def _not_offered(name: str, advice: str, limit: list[str] | None) -> InvalidInput:
    return InvalidInput(
        "not_offered", f"{name}: not offered by this version of the server. {advice}", field=name, limit=limit
    )


def _invalid(name: str, fact: str, advice: str, limit: int | list[str] | None) -> InvalidInput:
    return InvalidInput("invalid_option", f"{name} {fact}; {advice}.", field=name, limit=limit)
