"""Job options: defaults, every refusal with its field and limit, round trip."""

from __future__ import annotations

import pytest

from speechlane.batch.options import JobOptions, check_offered, parse_options
from speechlane.diarization import SpeakerBounds
from speechlane.engine import Capabilities, EngineIdentity
from speechlane.errors import InvalidInput

pytestmark = pytest.mark.unit

ENGINE = EngineIdentity("scripted", "1", "tiny.en", "0d3d19a32d3338f10357c0889762bd8d64bbdeba", None, "cpu", "int8")
CAN = Capabilities(frozenset({"en", "de"}), True, True, True, True, False, 480_000)


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
            "route": {"model": "tiny.en@0d3d19a"},
            "metadata": {"case": 7},
        }
    )
    assert options == JobOptions(
        language="en-US",
        diarize="speaker",
        bounds=SpeakerBounds(minimum=2, maximum=4),
        track=1,
        words=False,
        model="tiny.en@0d3d19a",
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
        ({"route": {"fallback": "anytime"}}, "not_offered", "route.fallback"),
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


@pytest.mark.parametrize(
    ("options", "code", "limit"),
    [
        (JobOptions(language="fr"), "unsupported_language", ["de", "en"]),
        (JobOptions(model="base"), "unknown_model", ["tiny.en", "tiny.en@0d3d19a"]),
        (JobOptions(diarize="speaker"), "not_offered", ["none"]),
    ],
)
def test_what_the_deployment_cannot_do_is_refused(options, code, limit) -> None:
    """A language, model or diarization that is not served here is refused with what is."""
    with pytest.raises(InvalidInput) as caught:
        check_offered(options, ENGINE, CAN, diarizes=False)
    assert (caught.value.code, caught.value.limit) == (code, limit)


def test_what_the_deployment_can_do_is_taken() -> None:
    """A region of a known language, the model's name and its pin are all fine."""
    check_offered(JobOptions(language="de-AT", model="tiny.en", diarize="speaker"), ENGINE, CAN, diarizes=True)
    check_offered(JobOptions(model="tiny.en@0d3d19a"), ENGINE, CAN, diarizes=False)
