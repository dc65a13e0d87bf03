"""Single rules of the session core that the properties do not spell out: deadlines, limits, acks, loops, cuts."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from live_simulation import BLOCK, Script, Simulation, Spoken, head, honest

from speechlane.engine import Capabilities, Hypothesis, HypothesisWord, Priority
from speechlane.live import Session, events
from speechlane.live.actions import Close, Send, Withdraw
from speechlane.live.config import SessionLimits
from speechlane.live.endings import MAX_FLUSHES

pytestmark = pytest.mark.unit


def sentence(*, words: int = 8, at: int = 16_000, length: int = 4_800) -> list[Spoken]:
    return [Spoken(f" w{number}", at + number * length, at + (number + 1) * length) for number in range(words)]


def with_capabilities(head, capabilities):
    """The same session with another engine's capabilities."""
    return replace(head, routes=(replace(head.routes[0], capabilities=capabilities),))


def sent(actions) -> list[dict]:
    return [action.message for action in actions if isinstance(action, Send)]


def test_idle_sessions_are_settled_and_closed_4408():
    """A client that sends nothing for the idle timeout is told so and closed 4408."""
    run = Simulation(Script([], 0))
    assert run.session.next_deadline() == 60_000
    actions = run.session.receive(events.DeadlinePassed(60_000))
    assert [message["type"] for message in sent(actions)] == ["error"]
    assert sent(actions)[-1]["code"] == "idle_timeout"
    assert actions[-1] == Close(4408, "idle too long")


def test_idleness_ends_the_connection_of_a_session_that_may_be_resumed_not_the_session():
    """4408 as ever, then it waits for the resume window, as after any lost connection; then it is finished, 1000."""
    whole = replace(head(), limits=SessionLimits(resume_window_ms=120_000))
    session = Session(whole)
    session.receive(events.SessionStarted(0))
    actions = session.receive(events.DeadlinePassed(60_000))
    assert [(message["type"], message["code"]) for message in sent(actions)] == [("error", "idle_timeout")]
    assert actions[-1] == Close(4408, "idle too long", waits=True)
    assert (session.lost_at, session.next_deadline()) == (60_000, 180_000)
    session.receive(events.ConnectionResumed(100_000, 1, 0))
    assert (session.lost_at, session.next_deadline()) == (None, 160_000)
    session.receive(events.DeadlinePassed(160_000))
    actions = session.receive(events.DeadlinePassed(280_000))
    assert sent(actions)[-1]["type"] == "session.finished"
    assert actions[-1] == Close(1000, "connection lost")


def test_a_ping_keeps_a_session_open():
    """A ping is answered at once and moves the idle deadline."""
    run = Simulation(Script([], 0))
    (pong,) = sent(run.session.receive(events.PingReceived(50_000, "p1")))
    assert pong == {"type": "pong", "id": "p1"}
    assert run.session.next_deadline() == 110_000


def test_a_sender_that_stalls_amid_speech_gets_its_words():
    """No audio for the stall time amid speech settles what was heard; the session stays open."""
    run = Simulation(Script(sentence(words=40), 400_000))
    while run.position < 96_000:
        run.hear_block()
    assert run.session.next_deadline() == run.at + 2_000
    run.at += 2_000
    run._feed(events.DeadlinePassed(run.at))
    run._answer_due(everything=True)
    (final,) = run.of("caption.final")
    assert final["text"].startswith("w0 w1 w2")
    assert run.closed is None


def test_our_own_lateness_is_no_stalled_sender():
    """While an answer is outstanding the driver may hold audio back: that is neither a pause nor an idle client."""
    run = Simulation(Script(sentence(words=40), 400_000), latency=lambda: 10**6)
    while not run.asked:
        run.hear_block()
    assert run.session.next_deadline() == run.at + 60_000, "only the engine's own deadline is left"


def test_the_detected_language_is_recorded_although_later_decodes_are_told_it():
    """What was found, with its probability, stands in the record of a segment that detected it at its first decode."""
    capabilities = Capabilities(frozenset({"en", "de"}), True, True, True, True, False, 480_000)

    def detects(ask, script):
        heard = honest(ask, script)
        return heard if ask.language else replace(heard, language="de", language_probability=0.8)

    run = Simulation(Script(sentence(words=30), 240_000), detects, config={"language": None})
    run.head = with_capabilities(run.head, capabilities)
    run.session = Session(run.head)
    run.run()
    assert any(ask.language == "de" for ask in run.asked)
    assert {(record.locale_requested, record.locale_detected, record.locale_probability) for record in run.records} == {
        ("auto", "de", 0.8)
    }


def test_an_engine_without_prefixes_is_never_given_one():
    """No context for it; and an answer that contradicts settled words gives just what lies behind them, all of it."""
    contrary = iter(range(10**6))

    def wavers(ask, script):
        heard = honest(ask, script)
        words = [replace(heard.words[0], text=f" x{next(contrary)}"), *heard.words[1:]] if heard.words else []
        return replace(heard, words=tuple(words))

    run = Simulation(Script(sentence(words=30), 240_000), wavers)
    run.head = with_capabilities(run.head, replace(run.head.routes[0].capabilities, prefix=False))
    run.session = Session(run.head)
    run.run()
    assert all(ask.prefix == () for ask in run.asked)
    assert run.closed == 1000
    spoken = [word for word in run.text.split() if not word.startswith("x")]
    assert len(spoken) == len(set(spoken))
    assert spoken[-20:] == [f"w{number}" for number in range(10, 30)]


def test_a_record_covers_its_final_and_names_the_window():
    """Start and end are the final's stretch; the window that the engine was handed stands in the options."""
    run = Simulation(Script(sentence(words=60), 400_000)).run()
    for final, record in zip(run.of("caption.final"), run.records, strict=True):
        assert record.start_ms <= final["start_ms"] <= final["end_ms"] <= record.end_ms
        window = record.options["window_ms"]
        assert window[0] <= record.start_ms
    assert all(before.end_ms <= after.start_ms + 1 for before, after in pairwise(run.records))


def test_a_session_at_its_longest_is_settled_and_closed_4413():
    """The limit of audio is told with its number, after everything heard is settled."""
    script = Script(sentence(words=12), 200_000)
    run = Simulation(script)
    head = replace(run.head, limits=SessionLimits(max_session_ms=5_000))
    run.session = Session(head)
    run.messages.clear()
    run.session.receive(events.SessionStarted(0))
    while run.closed is None and run.position < script.duration:
        run.hear_block()
    assert run.closed == 4413
    assert (run.messages[-1]["code"], run.messages[-1]["limit"]) == ("session_too_long", 5_000)
    assert run.text
    assert run.of("session.finished") == [], "a session cut off is not a session finished"


@pytest.mark.parametrize("lost", [False, True])
def test_a_client_that_only_pings_holds_its_place_no_longer_than_the_longest_session(lost):
    """Time since the start counts as audio does, whatever else came, and also while the connection is gone."""
    run = Simulation(Script([], 0))
    run.session = Session(replace(run.head, limits=SessionLimits(max_session_ms=5_000, resume_window_ms=60_000)))
    run.session.receive(events.SessionStarted(0))
    run.session.receive(events.ConnectionLost(4_000) if lost else events.PingReceived(4_900, None))
    assert run.session.next_deadline() == 5_000
    actions = run.session.receive(events.DeadlinePassed(5_000))
    assert sent(actions)[-1]["code"] == "session_too_long"
    assert actions[-1] == Close(4413, "session too long")


def test_a_stop_of_the_server_settles_and_closes_1012():
    """Shutdown: the words heard become finals, then an error says restart, then 1012."""
    run = Simulation(Script(sentence(words=20), 400_000))
    while run.position < 64_000:
        run.hear_block()
    run._feed(events.ShutdownRequested(run.at))
    run._answer_due(everything=True)
    assert run.closed == 1012
    assert run.messages[-1]["code"] == "server_restart"
    assert len(run.of("caption.final")) == 1


def test_a_broken_protocol_settles_and_closes_1008():
    """What the client said before it broke the protocol is not lost."""
    run = Simulation(Script(sentence(words=20), 400_000))
    while run.position < 64_000:
        run.hear_block()
    run._feed(events.ProtocolBroken(run.at, "bad_json", "no object", "type"))
    run._answer_due(everything=True)
    assert run.closed == 1008
    assert (run.messages[-1]["type"], run.messages[-1]["field"]) == ("error", "type")
    assert run.text.startswith("w0 w1")


def test_an_engine_that_never_answers_ends_the_session():
    """A stalled engine is found out by its deadline: error with the engine's fault, close 1011."""
    run = Simulation(Script(sentence(words=20), 400_000), latency=lambda: 10**6)
    while not run.asked:
        run.hear_block()
    asked_at = run.at
    while run.position < 64_000:
        run.hear_block()
    actions = run.session.receive(events.DeadlinePassed(asked_at + 60_000))
    assert isinstance(actions[0], Withdraw)
    assert (sent(actions)[0]["code"], sent(actions)[0]["fault"]) == ("engine_stalled", "engine")
    assert actions[-1] == Close(1011, "engine_stalled")


def test_acks_tell_what_need_not_be_kept():
    """`replay_from` is where the first unsettled segment begins, in bytes of the client's own stream, never behind."""
    run = Simulation(Script(sentence(), 160_000)).run()
    acks = run.of("audio.ack")
    assert [ack["replay_from_bytes"] for ack in acks] == sorted(ack["replay_from_bytes"] for ack in acks)
    opened = 31 * 512 - 4_800  # the first frame that holds speech, less the pre-roll
    assert opened * 2 in {ack["replay_from_bytes"] for ack in acks}
    assert all(ack["replay_from_bytes"] <= ack["received_bytes"] for ack in acks)


def test_a_dropped_partial_sample_is_told():
    """Bytes that make no whole sample frame at the end cause a warning with the frame's size."""
    run = Simulation(Script([], 16_000))
    run.session.receive(events.AudioReceived(10, 512, 1025, ((0.0,),)))
    (warning, *_) = sent(run.session.receive(events.FinishRequested(20, dropped_bytes=1)))
    assert (warning["type"], warning["code"], warning["limit"]) == ("warning", "partial_sample", 2)


def test_keyterms_that_the_engine_cannot_take_are_told():
    """An option without effect is never swallowed in silence."""
    run = Simulation(Script([], 0), config={"keyterms": ("Speechlane",)})
    assert [(m["type"], m.get("code")) for m in run.messages] == [
        ("session.started", None),
        ("warning", "keyterms_unsupported"),
    ]


def test_loops_are_decoded_otherwise_and_never_shown():
    """A looping final is asked again with the longest padding, then with the guard; nothing of the loop appears."""

    def loops(ask, script):
        if ask.options.repetition_guard:
            return honest(ask, script)
        word = HypothesisWord(" loop", 0, 1_000, 0.9, (99,))
        return Hypothesis((word,) * 20, "en", repetitive=True)

    run = Simulation(Script(sentence(), 160_000), loops, config={"interim": False}).run()
    assert [(ask.padded // 16_000, ask.options.repetition_guard) for ask in run.asked] == [
        (15, False),
        (30, False),
        (30, True),
    ]
    assert run.text == "w0 w1 w2 w3 w4 w5 w6 w7"
    assert run.records[0].attempt == 3


def test_no_answer_may_run_on_without_bound():
    """Every decode's tokens are bounded by its window's length."""
    run = Simulation(Script(sentence(words=60), 400_000)).run()
    assert all(ask.options.max_tokens == 16 + 15 * (ask.end - ask.start) // 16_000 for ask in run.asked)


def test_a_window_without_speech_shows_nothing():
    """A high no-speech probability drops the words, however sure of them the model is."""

    def invents(ask, script):
        word = HypothesisWord(" Thanks.", 0, 8_000, 0.1, (1,))
        return Hypothesis((word,), "en", no_speech_probability=0.9, average_logprob=-0.3)

    run = Simulation(Script(sentence(), 160_000), invents).run()
    assert run.of("caption.partial") == run.of("caption.final") == []


def test_first_partials_go_before_later_ones_and_finals_before_all():
    """Priorities follow what a waiting reader notices most."""
    run = Simulation(Script(sentence(words=20), 240_000)).run()
    priorities = [ask.priority for ask in run.asked]
    assert priorities[0] is Priority.FIRST_PARTIAL
    assert set(priorities[1:]) <= {Priority.PARTIAL, Priority.FINAL}


def test_the_last_partial_serves_as_the_final_when_it_heard_everything():
    """No second decode of the same sound: fewer waits, and the text that was shown is the text that is kept."""
    run = Simulation(Script(sentence(), 160_000)).run()
    assert [ask.priority for ask in run.asked].count(Priority.FINAL) == 0
    assert run.text == "w0 w1 w2 w3 w4 w5 w6 w7"


def test_every_channel_has_its_own_timeline():
    """With two timelines each has its own segments, numbered from 1, and one chain of records."""
    run = Simulation(Script(sentence(), 160_000), config={"timelines": 2, "diarize": "channel"}).run()
    assert [(final["channel"], final["segment"]) for final in run.of("caption.final")] == [(0, 1), (1, 1)]
    assert [record.index for record in run.records] == [0, 1]


def test_long_speech_is_cut_between_words_before_fifteen_seconds():
    """Sixty seconds without a pause: no window over 14 s, no word lost or doubled at the cuts."""
    script = Script(sentence(words=200), 1_000_000)
    run = Simulation(script).run()
    assert max(ask.end - ask.start for ask in run.asked) <= 14 * 16_000
    assert len(run.of("caption.final")) >= 4
    assert run.text.split() == [word.text.strip() for word in script.words]


def test_nothing_is_taken_in_after_the_end():
    """A closed session answers no event."""
    run = Simulation(Script(sentence(), 160_000)).run()
    assert run.session.receive(events.AudioReceived(10**6, 10**6, 10**6, ((0.9,),))) == []
    assert run.session.next_deadline() is None
    assert run.position % BLOCK == 0


@pytest.mark.parametrize("interim", [True, False])
@pytest.mark.parametrize("silence", ["everything", "the rest"])
def test_a_context_that_silences_the_engine_costs_no_words(interim, silence):
    """A forced prefix behind which the engine ends at once, or midway, is given up: every word comes, once."""

    def silenced(ask, script):
        heard = honest(ask, script)
        return replace(heard, words=heard.words[: 0 if silence == "everything" else 2]) if ask.prefix else heard

    words = [*sentence(words=6), *sentence(words=8, at=64_000), *sentence(words=9, at=128_000)]
    words = [Spoken(f" w{number}", word.start, word.end) for number, word in enumerate(words)]
    run = Simulation(Script(words, 220_000), silenced, config={"interim": interim}).run()
    assert any(ask.prefix for ask in run.asked)
    assert run.text.split() == [f"w{number}" for number in range(len(words))]


def test_flushes_without_end_are_refused():
    """More flushes than may wait for their answers end the session 1008, with the limit; the others are answered."""
    run = Simulation(Script(sentence(words=12), 200_000), latency=lambda: 10_000)
    for _ in range(60):
        run.hear_block()
    for number in range(MAX_FLUSHES + 1):
        run._feed(events.FlushRequested(run.at, str(number)))
    run.finish()
    assert run.closed == 1008
    assert (run.messages[-1]["code"], run.messages[-1]["limit"]) == ("too_many_flushes", MAX_FLUSHES)
    assert len(run.of("audio.flushed")) == MAX_FLUSHES + 1
