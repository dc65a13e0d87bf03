"""The router meets every wish or refuses by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from speechlane.engine import Capabilities, EngineIdentity
from speechlane.errors import InvalidInput
from speechlane.router import RouteRequest, choose_route, ordered_routes

pytestmark = pytest.mark.unit

TINY = (
    EngineIdentity("faster-whisper", "1", "tiny.en", "0d3d19a32d33", "d" * 64, "cpu", "int8"),
    Capabilities(frozenset({"en"}), False, True, True, True, False, 480_000),
)


@pytest.mark.parametrize("model", ["tiny.en", "tiny.en@0d3d19a", "tiny.en@0d3d19a32d33", None])
def test_names_and_pins_are_met(model):
    """A model is asked for by name or by pin; the reason tells whether it was asked for."""
    route = choose_route(RouteRequest(model=model), "en-US", [TINY])
    assert route.identity.model == "tiny.en"
    assert route.reason == ("asked for by model" if model else "deployment default")


@pytest.mark.parametrize(
    ("request_", "language", "code", "field"),
    [
        (RouteRequest(model="base"), None, "unknown_model", "route.model"),
        (RouteRequest(model="tiny.en@0d3"), None, "unknown_model", "route.model"),
        (RouteRequest(model="tiny.en@ffffffff"), None, "unknown_model", "route.model"),
        (RouteRequest(engine="cloud"), None, "unknown_engine", "route.engine"),
        (RouteRequest(draft="fast"), None, "draft_unsupported", "route.draft"),
        (RouteRequest(), "de", "unsupported_language", "language"),
    ],
)
def test_unmet_wishes_are_refused(request_, language, code, field):
    """A wish that nothing here meets is an error with the field and what is at hand, never another model."""
    with pytest.raises(InvalidInput) as refusal:
        choose_route(request_, language, [TINY])
    assert (refusal.value.code, refusal.value.field) == (code, field)


OTHER = (replace(TINY[0], engine="cloud", device=None), TINY[1])
MUTE = (replace(TINY[0], engine="old"), replace(TINY[1], word_times=False))
GERMAN = (replace(TINY[0], engine="berlin"), replace(TINY[1], languages=frozenset({"de"})))


@pytest.mark.parametrize(
    ("request_", "names"),
    [
        (RouteRequest(), ["faster-whisper", "cloud"]),
        (RouteRequest(fallback="before_text"), ["faster-whisper", "cloud"]),
        (RouteRequest(fallback="never"), ["faster-whisper"]),
        (RouteRequest(reproducibility="pinned"), ["faster-whisper"]),
        (RouteRequest(privacy="local_only"), ["faster-whisper"]),
        (RouteRequest(engine="cloud"), ["cloud"]),
    ],
)
def test_what_may_take_over(request_, names):
    """Fallbacks meet every wish, speak the language and offer what the first offers; pinned sessions have none."""
    routes = ordered_routes(request_, "en", [TINY, OTHER, MUTE, GERMAN])
    assert [route.identity.engine for route in routes] == names
    assert [route.reason for route in routes[1:]] == [f"fallback from {routes[0].identity.pin}"] * (len(names) - 1)
