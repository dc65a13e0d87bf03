"""A route request against the engines at hand: the first that meets every wish, or a refusal that says what is missing.

A wish that no engine here can meet is refused, never dropped: who asks for ``pinned`` must not get another model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    fallback: str | None = None
    draft: str | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """One engine chosen, and the reason that its records carry."""

    identity: EngineIdentity
    capabilities: Capabilities
    reason: str


def choose_route(
    request: RouteRequest, language: str | None, engines: Sequence[tuple[EngineIdentity, Capabilities]]
) -> Route:
    """The first engine that takes the request's engine, model and privacy, and the language (a tag, None to detect).

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
    identity, capabilities = left[0]
    asked = [name for name in ("engine", "model", "privacy") if getattr(request, name) is not None]
    reason = f"asked for by {', '.join(asked)}" if asked else "deployment default"
    return Route(identity, capabilities, reason)


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
