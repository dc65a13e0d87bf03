"""A route request against the engines at hand: those that meet every wish, in order, or a refusal by name.

A wish that no engine here can meet is refused, never dropped: who asks for ``pinned`` must not get another model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from speechlane.engine import Capabilities, EngineIdentity
from speechlane.errors import InvalidInput
from speechlane.transcript.language import primary_subtag


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRequest:
    """Section 4 of the protocol; None leaves the choice to the deployment.

    ``model`` is a name (``tiny.en``) or a pin (``tiny.en@0d3d19a``, at least seven characters of the revision).
    """

    engine: str | None = None
    model: str | None = None
    sla: str | None = None
    reproducibility: str | None = None
    privacy: str | None = None
    max_cost_per_hour: float | None = None
    fallback: Literal["never", "before_text", "anytime"] | None = None
    draft: str | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """One engine chosen, and the reason that its records carry."""

    identity: EngineIdentity
    capabilities: Capabilities
    reason: str


def ordered_routes(
    request: RouteRequest, language: str | None, engines: Sequence[tuple[EngineIdentity, Capabilities]]
) -> tuple[Route, ...]:
    """The engines that take the request's engine, model and privacy, and the language (a tag, None to detect).

    The first serves; the others may take over when it fails, in order: none of them when the request is ``pinned`` or
    its fallback is ``never``.

    Raises:
        InvalidInput: ``unknown_engine``, ``unknown_model``, ``unmet_privacy``, ``draft_unsupported`` or
            ``unsupported_language``, with the field and what is at hand.
    """
    if request.draft is not None:
        raise InvalidInput(
            "draft_unsupported", "route.draft: drafts are not offered. Leave the field out.", field="route.draft"
        )
    left = list(engines)
    if request.engine is not None:
        left = _kept(
            left,
            [identity.engine == request.engine for identity, _ in left],
            "engine",
            "unknown_engine",
            request.engine,
        )
    if request.model is not None:
        left = _kept(
            left, [_is(identity, request.model) for identity, _ in left], "model", "unknown_model", request.model
        )
    if request.privacy is not None and request.privacy != "any":
        # An engine on this machine keeps the audio here, which meets "local_only" and every region's rule.
        left = _kept(
            left, [identity.device is not None for identity, _ in left], "privacy", "unmet_privacy", request.privacy
        )
    if language is not None:
        code = primary_subtag(language)
        spoken = sorted({known for _, capabilities in left for known in capabilities.languages})
        left = [engine for engine in left if code in engine[1].languages]
        if not left:
            raise InvalidInput(
                "unsupported_language",
                f"language {language!r} is not spoken by the engines at hand. "
                f'Send one of: {", ".join(spoken)}; or "auto".',
                field="language",
                limit=spoken,
            )
    asked = [name for name in ("engine", "model", "privacy") if getattr(request, name) is not None]
    reason = f"asked for by {', '.join(asked)}" if asked else "deployment default"
    first, *others = (Route(identity, capabilities, reason) for identity, capabilities in left)
    if request.reproducibility == "pinned" or request.fallback == "never":
        return (first,)
    pin = first.identity.pin
    return (first, *(replace(other, reason=f"fallback from {pin}") for other in others if _can_replace(other, first)))


def choose_route(
    request: RouteRequest, language: str | None, engines: Sequence[tuple[EngineIdentity, Capabilities]]
) -> Route:
    """The first of `ordered_routes`, which tells the errors."""
    return ordered_routes(request, language, engines)[0]


def _can_replace(other: Route, first: Route) -> bool:
    """Whether a session may go on with the other: whatever the first offers in words and languages, it must offer."""
    ours, theirs = first.capabilities, other.capabilities
    return (
        theirs.word_times >= ours.word_times
        and theirs.detects_language >= ours.detects_language
        and (other.identity.engine, other.identity.pin) != (first.identity.engine, first.identity.pin)
    )


def _is(identity: EngineIdentity, wish: str) -> bool:
    name, at, revision = wish.partition("@")
    if name != identity.model:
        return False
    if not at:
        return True
    return len(revision) >= 7 and (identity.model_revision or "").startswith(revision)


def _kept(
    engines: list[tuple[EngineIdentity, Capabilities]], keep: list[bool], field: str, code: str, wish: str
) -> list[tuple[EngineIdentity, Capabilities]]:
    kept = [engine for engine, good in zip(engines, keep, strict=True) if good]
    if not kept:
        offered = sorted({identity.engine if field == "engine" else identity.pin for identity, _ in engines})
        raise InvalidInput(
            code,
            f"route.{field} {wish!r} is not at hand here. Send one of: {', '.join(offered)}; or leave it out.",
            field=f"route.{field}",
            limit=offered,
        )
    return kept
