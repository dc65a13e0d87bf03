"""What a client may ask of a job: parsed, checked, the unknown refused by name (docs/protocol.md, section 2)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from speechlane.diarization import SpeakerBounds
from speechlane.errors import InvalidInput
from speechlane.router import RouteRequest
from speechlane.transcript import normalize_language

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
_ROUTE_WORDS: Mapping[str, tuple[str, ...]] = {
    "sla": ("interactive", "standard", "economy"),
    "reproducibility": ("pinned", "compatible", "any"),
    "fallback": ("never", "before_text", "anytime"),
}
_PRIVACY = re.compile(r"local_only|region:[A-Za-z0-9-]+|any")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """A job's options with their defaults filled in.

    ``language`` is a BCP-47 tag, None for "auto". ``track`` counts a file's audio tracks from 0.
    """

    language: str | None = None
    diarize: Literal["none", "speaker"] = "none"
    bounds: SpeakerBounds = field(default_factory=SpeakerBounds)
    track: int = 0
    words: bool = True
    route: RouteRequest = field(default_factory=RouteRequest)
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
            "route": asdict(self.route),
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
    for name, neutral in NOT_OFFERED.items():
        if name in fields and fields[name] not in neutral:
            raise _not_offered(name, "Leave it out.", None)
    options: dict[str, Any] = {}
    for name, value in fields.items():
        if name in _READERS and value is not None:
            options |= _READERS[name](value)
    return JobOptions(**options)


def check_diarization(options: JobOptions, *, offered: bool) -> None:
    """Refuse to tell speakers apart where nothing can.

    Raises:
        InvalidInput: ``not_offered``.
    """
    if options.diarize == "speaker" and not offered:
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
    fields = _object(value, "route", RouteRequest.__dataclass_fields__)
    route: dict[str, Any] = {name: wish for name, wish in fields.items() if wish is not None}
    for name, wish in route.items():
        if name == "max_cost_per_hour":
            route[name] = float(_checked(wish, f"route.{name}", (int, float), "a cost per hour of audio"))
            if not route[name] >= 0:
                raise _invalid(f"route.{name}", f"is {wish}", "send 0 or more", 0)
        elif name in _ROUTE_WORDS:
            _one_of(wish, f"route.{name}", _ROUTE_WORDS[name])
        elif not _checked(wish, f"route.{name}", str, "a name"):
            raise _invalid(f"route.{name}", "is empty", "send a name, or leave it out", 1)
    if "privacy" in route and not _PRIVACY.fullmatch(route["privacy"]):
        raise _invalid(
            "route.privacy",
            f"is {_shown(route['privacy'])}",
            "send local_only, any, or a region such as region:EU",
            ["local_only", "region:EU", "any"],
        )
    return {"route": RouteRequest(**route)}


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


def _checked(value: object, name: str, kind: type | tuple[type, ...], must: str) -> Any:
    # bool is an int to Python, not to a client
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise _invalid(name, f"is {_shown(value)}", f"send {must}", None)
    return value


def _one_of(value: object, name: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise _invalid(name, f"is {_shown(value)}", f"send one of {', '.join(allowed)}", list(allowed))


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _not_offered(name: str, advice: str, limit: list[str] | None) -> InvalidInput:
    return InvalidInput(
        "not_offered", f"{name}: not offered by this version of the server. {advice}", field=name, limit=limit
    )


def _invalid(name: str, fact: str, advice: str, limit: int | list[str] | None) -> InvalidInput:
    return InvalidInput("invalid_option", f"{name} {fact}; {advice}.", field=name, limit=limit)
