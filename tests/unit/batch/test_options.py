"""Job options: defaults, every refusal with its field and limit, round trip."""

from __future__ import annotations

import pytest

from speechlane.batch.options import JobOptions, check_diarization, parse_options
from speechlane.diarization import SpeakerBounds
from speechlane.errors import InvalidInput
from speechlane.router import RouteRequest

pytestmark = pytest.mark.unit


def test_no_options_are_the_defaults() -> None:
    """An empty object asks for plain transcription in any language."""
    assert parse_options({}) == JobOptions()
    assert JobOptions().as_fields()["language"] == "auto"


def test_all_options_come_through_and_round_trip() -> None:
    """What was asked shows in the options, and their wire form parses back to the same."""
    options = parse_options(
        {
            "language": "EN-us",
            "diarize": {"mode": "speaker", "min": 2, "max": 4},
            "channels": "mix",
            "track": 1,
            "words": False,
            "route": {"model": "tiny.en@0d3d19a", "privacy": "region:EU", "max_cost_per_hour": 1, "sla": None},
            "metadata": {"case": 7},
        }
    )
    assert options == JobOptions(
        language="en-US",
        diarize="speaker",
        bounds=SpeakerBounds(minimum=2, maximum=4),
        track=1,
        words=False,
        route=RouteRequest(model="tiny.en@0d3d19a", privacy="region:EU", max_cost_per_hour=1.0),
        metadata={"case": 7},
    )
    assert parse_options(options.as_fields()) == options


def test_options_that_ask_for_nothing_are_taken() -> None:
    """Null, and the neutral value of an option that is not offered, ask for nothing."""
    neutral = {
        "keyterms": [],
        "captions": {},
        "reuse": "never",
        "preset": None,
        "language": None,
        "route": {"sla": None},
    }
    assert parse_options(neutral) == JobOptions()


@pytest.mark.parametrize(
    ("values", "code", "field"),
    [
        ([], "invalid_option", "options"),
        ("en", "invalid_option", "options"),
        ({"langauge": "en"}, "unknown_field", "langauge"),
        ({"language": 7}, "invalid_option", "language"),
        ({"language": "english please"}, "invalid_language", "language"),
        ({"diarize": True}, "invalid_option", "diarize"),
        ({"diarize": {"mode": "yes"}}, "invalid_option", "diarize.mode"),
        ({"diarize": {"mode": "channel"}}, "not_offered", "diarize.mode"),
        ({"diarize": {"mode": "speaker", "speakers": 0}}, "invalid_speakers", "diarize.speakers"),
        ({"diarize": {"mode": "speaker", "speakers": True}}, "invalid_option", "diarize.speakers"),
        ({"diarize": {"mode": "speaker", "min": 3, "max": 2}}, "invalid_speakers", "diarize"),
        ({"diarize": {"speakers": 2}}, "invalid_option", "diarize.mode"),
        ({"diarize": {"mode": "speaker", "count": 2}}, "unknown_field", "diarize.count"),
        ({"channels": "separate"}, "not_offered", "channels"),
        ({"channels": 2}, "invalid_option", "channels"),
        ({"track": -1}, "invalid_option", "track"),
        ({"track": "first"}, "invalid_option", "track"),
        ({"words": "yes"}, "invalid_option", "words"),
        ({"keyterms": ["Speechlane"]}, "not_offered", "keyterms"),
        ({"captions": {"lines": 1}}, "not_offered", "captions"),
        ({"callback_url": "https://example.org"}, "not_offered", "callback_url"),
        ({"retain_days": 7}, "not_offered", "retain_days"),
        ({"reuse": "same_input"}, "not_offered", "reuse"),
        ({"preset": "fast"}, "not_offered", "preset"),
        ({"route": {"fallback": "sometimes"}}, "invalid_option", "route.fallback"),
        ({"route": {"privacy": "mostly"}}, "invalid_option", "route.privacy"),
        ({"route": {"max_cost_per_hour": -1}}, "invalid_option", "route.max_cost_per_hour"),
        ({"route": {"max_cost_per_hour": True}}, "invalid_option", "route.max_cost_per_hour"),
        ({"route": {"engine": ""}}, "invalid_option", "route.engine"),
        ({"route": {"vendor": "x"}}, "unknown_field", "route.vendor"),
        ({"route": {"model": 3}}, "invalid_option", "route.model"),
        ({"metadata": []}, "invalid_option", "metadata"),
        ({"metadata": {"note": "x" * 17_000}}, "invalid_option", "metadata"),
    ],
)
def test_a_wrong_option_is_refused_by_name(values, code, field) -> None:
    """Nothing is ignored in silence: the error names the field and says what to send."""
    with pytest.raises(InvalidInput) as caught:
        parse_options(values)
    assert (caught.value.code, caught.value.field) == (code, field)
    assert len(caught.value.message) > len(field) + 10


def test_diarization_is_refused_where_nothing_can_do_it() -> None:
    """A server without a diarizer says so before a job exists."""
    with pytest.raises(InvalidInput) as caught:
        check_diarization(JobOptions(diarize="speaker"), offered=False)
    assert (caught.value.code, caught.value.field, caught.value.limit) == ("not_offered", "diarize.mode", ["none"])
    check_diarization(JobOptions(), offered=False)
    check_diarization(JobOptions(diarize="speaker"), offered=True)
