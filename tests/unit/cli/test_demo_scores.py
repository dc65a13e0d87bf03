"""The demo's figures are what the field's definitions give."""

from __future__ import annotations

import pytest

from speechlane.cli.demo_scores import diarization_score, word_score

pytestmark = pytest.mark.unit

TRUTH = "SPEAKER a 1 0.000 4.000 <NA> <NA> anna <NA> <NA>\nSPEAKER a 1 4.000 4.000 <NA> <NA> ben <NA> <NA>\n"


def test_the_same_turns_under_other_names_are_right():
    """Labels need not agree, nor the recording's name."""
    found = TRUTH.replace("anna", "S2").replace("ben", "S1").replace("SPEAKER a", "SPEAKER job")
    assert diarization_score(found, TRUTH, duration_ms=10_000)["der"] == 0


def test_errors_are_seconds_over_the_speech_of_the_reference():
    """Missed, invented and misattributed speech add up; no turns at all is all missed."""
    found = "SPEAKER j 1 1.000 4.000 <NA> <NA> S1 <NA> <NA>\nSPEAKER j 1 5.000 4.000 <NA> <NA> S2 <NA> <NA>\n"
    score = diarization_score(found, TRUTH, duration_ms=10_000)
    assert score["der_seconds"] == {"speech": 8.0, "missed": 1.0, "false_alarm": 1.0, "confusion": 1.0}
    assert score["der"] == pytest.approx(3 / 8)
    assert diarization_score("", TRUTH, duration_ms=10_000)["der"] == 1


def test_words_are_compared_after_normalisation():
    """Case and punctuation are no errors; a wrong word is one of the reference's words."""
    transcript = {"segments": [{"text": " ask not"}, {"text": " What your COUNTY"}]}
    score = word_score("Ask not what your country", transcript)
    assert (score["text"], score["errors"], score["words"], score["wer"]) == ("ask not What your COUNTY", 1, 5, 0.2)
