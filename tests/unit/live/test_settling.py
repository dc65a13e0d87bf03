"""When segments are settled: by answers that end too soon, over cuts, at flushes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from live_simulation import Script, Simulation, Spoken, honest

from speechlane.engine import Hypothesis, HypothesisWord
from speechlane.live import events

pytestmark = pytest.mark.unit


def speech(count: int, *, at: int = 16_000) -> list[Spoken]:
    return [Spoken(f" w{number}", at + number * 4_800, at + (number + 1) * 4_800) for number in range(count)]


def texts(words: list[Spoken]) -> str:
    return " ".join(word.text.strip() for word in words)


def test_an_answer_that_ends_long_before_the_speech_is_asked_for_again():
    """A decoder that stops in mid-speech loses nothing where a longer padding helps, and costs one more decode."""

    def stops(ask, script):
        heard = honest(ask, script)
        return heard if ask.padded >= 480_000 else replace(heard, words=heard.words[:6])

    script = Script(speech(14), 160_000)
    run = Simulation(script, stops, config={"interim": False}).run()
    assert run.text == texts(script.words)
    assert [ask.padded // 16_000 for ask in run.asked] == [15, 30]
    assert run.records[0].attempt == 2


def test_an_answer_that_always_ends_too_soon_is_taken_in_the_end():
    """Sound that no decode finds words in costs two decodes, not a loop."""

    def stops(ask, script):
        heard = honest(ask, script)
        return replace(heard, words=heard.words[:6])

    run = Simulation(Script(speech(14), 160_000), stops, config={"interim": False}).run()
    assert (run.text, len(run.asked)) == ("w0 w1 w2 w3 w4 w5", 2)


def test_an_answer_that_skips_speech_settles_nothing():
    """A gap longer than an endpoint, within one segment, is speech that the decoder jumped over: decoded again."""

    def jumps(ask, script):
        heard = honest(ask, script)
        if ask.padded >= 480_000 or len(heard.words) < 12:
            return heard
        return replace(heard, words=(*heard.words[:5], *heard.words[10:]))

    script = Script(speech(18), 160_000)
    assert Simulation(script, jumps, config={"interim": False}).run().text == texts(script.words)


def test_what_was_heard_behind_a_cut_stays_on_the_screen():
    """A long caption ends at a sentence; its words behind that are shown at once as the next segment's."""
    words = [replace(word, text=f"{word.text}.") if number == 20 else word for number, word in enumerate(speech(40))]
    run = Simulation(Script(words, 16_000 + 41 * 4_800)).run()
    first = run.of("caption.final")[0]
    assert first["text"].endswith("w20.")
    behind = run.messages[run.messages.index(first) + 1]
    assert (behind["type"], behind["segment"]) == ("caption.partial", 2)
    assert behind["unstable_text"].startswith("w21")


def test_a_flush_does_not_wait_for_speech_that_is_not_confirmed_yet():
    """What the gate has not called speech at the flush is a later segment's: `audio.flushed` comes before its final."""
    script = Script([*speech(6), *speech(20, at=70_000)], 240_000)
    run = Simulation(script, latency=lambda: 30)
    while run.position < 70_000:
        run.hear_block()
    assert not run.of("speech.started")[1:], "the second speech is not confirmed yet"
    run.run(flush_at=[run.position])
    kinds = [message["type"] for message in run.messages if message["type"] in {"audio.flushed", "caption.final"}]
    assert kinds == ["caption.final", "audio.flushed", "caption.final"]


def test_a_word_that_grows_behind_its_settled_form_is_not_doubled():
    """What stands as "need" and is heard as "needed" in the end is the same word: it stands, and comes once."""

    def grows(ask, script):
        heard = honest(ask, script)
        late = ask.end > script.words[-1].end
        words = [replace(word, text=" wordy") if late and word.text == " word" else word for word in heard.words]
        return replace(heard, words=tuple(words))

    words = [replace(word, text=" word" if number == 3 else word.text) for number, word in enumerate(speech(9))]
    run = Simulation(Script(words, 160_000), grows).run()
    assert run.of("caption.partial")[-1]["stable_text"].split()[3] == "word"
    assert run.text == texts(words)


def test_more_words_than_anybody_can_say_are_not_believed():
    """A sliver of speech, cut off by a flush, gives no sentence."""

    def invents(ask, script):
        step = (ask.end - ask.start) // 6
        text = ["Why", "do", "you", "think", "that", "?"]
        words = [HypothesisWord(f" {word}", at * step, (at + 1) * step, 0.9) for at, word in enumerate(text)]
        return Hypothesis(tuple(words), "en")

    run = Simulation(Script([Spoken(" what", 16_000, 17_600)], 48_000), invents)
    while run.position < 18_000:
        run.hear_block()
    run._feed(events.FlushRequested(run.at, "f"))
    run.run()
    assert run.of("audio.flushed") != []
    assert run.text == ""
