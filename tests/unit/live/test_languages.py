"""Which language a window is decoded in when the session's is to be detected."""

from __future__ import annotations

from dataclasses import replace

import pytest
from live_simulation import Script, Simulation, Spoken, honest

from speechlane.engine import Capabilities
from speechlane.live import Session

pytestmark = pytest.mark.unit

MULTILINGUAL = Capabilities(frozenset({"en", "de", "ko"}), True, True, True, True, False, 480_000)


def speech(*lengths: float) -> Script:
    """Stretches of speech of so many seconds, in words of 0.3 s, with a second of silence between them."""
    words, at = [], 16_000
    for length in lengths:
        for _ in range(round(length / 0.3)):
            words.append(Spoken(f" w{len(words)}", at, at + 4_800))
            at += 4_800
        at += 16_000
    return Script(words, at)


def detecting(script: Script, detect) -> Simulation:
    """A session that detects; ``detect(ask)`` gives the language and its probability where none was asked for."""

    def answer(ask, script):
        heard = honest(ask, script)
        if ask.language:
            return replace(heard, language=ask.language)
        language, probability = detect(ask)
        return replace(heard, language=language, language_probability=probability)

    run = Simulation(script, answer, config={"language": None})
    run.head = replace(run.head, routes=(replace(run.head.routes[0], capabilities=MULTILINGUAL),))
    run.session = Session(run.head)
    return run.run()


def test_an_unsure_detection_does_not_flip_a_short_segment():
    """A second of speech that sounds a little like Korean stays in the language of the segment before."""
    first_ends = (16_000 + 4 * 16_000) + 8_000
    run = detecting(speech(4, 0.9), lambda ask: ("en", 0.98) if ask.start < first_ends else ("ko", 0.7))
    assert [final["language"] for final in run.of("caption.final")] == ["en", "en"]
    assert [partial for partial in run.of("caption.partial") if partial["language"] == "ko"] == []
    assert run.records[1].locale_detected == "ko", "the record tells what was detected"


def test_a_sure_detection_switches_at_once():
    """The next segment may be in another language, and is shown in it from its first caption on."""
    first_ends = (16_000 + 4 * 16_000) + 8_000
    run = detecting(speech(4, 4), lambda ask: ("en", 0.98) if ask.start < first_ends else ("de", 0.97))
    assert [final["language"] for final in run.of("caption.final")] == ["en", "de"]
    assert {partial["language"] for partial in run.of("caption.partial") if partial["segment"] == 2} == {"de"}


def test_an_unsure_detection_switches_once_enough_was_heard():
    """With `language_window` of a segment heard, a probability of `language_doubtful` is enough."""
    first_ends = (16_000 + 4 * 16_000) + 8_000
    run = detecting(speech(4, 4), lambda ask: ("en", 0.98) if ask.start < first_ends else ("de", 0.7))
    assert [final["language"] for final in run.of("caption.final")] == ["en", "de"]


def test_nothing_is_shown_while_no_language_is_known():
    """At a session's start unsure detections show nothing; then what is heard most likely counts."""
    run = detecting(speech(4), lambda ask: ("ko", 0.5) if ask.end - ask.start < 30_000 else ("de", 0.6))
    assert {partial["language"] for partial in run.of("caption.partial")} == {"de"}
    (final,) = run.of("caption.final")
    assert final["language"] == "de"
    assert final["text"].split() == [word.text.strip() for word in run.script.words]


def test_a_short_first_segment_counts_in_whatever_language_it_was_heard():
    """Where there is no more to hear and no language before, the likeliest is taken: nothing said is dropped."""
    run = detecting(speech(0.9), lambda ask: ("de", 0.4))
    assert [(final["language"], final["text"]) for final in run.of("caption.final")] == [("de", "w0 w1 w2")]


def test_a_change_of_language_within_long_speech_is_found():
    """Behind a cut the language holds until enough was heard to detect it again; no word is lost over it."""
    turn = 16_000 + 9 * 16_000
    run = detecting(speech(20), lambda ask: ("en", 0.98) if ask.end < turn else ("de", 0.95))
    assert [final["language"] for final in run.of("caption.final")][-1] == "de"
    assert run.text.split() == [word.text.strip() for word in run.script.words]
