"""Guarantee 3 over real sockets: a lost connection loses nothing, and the newest connection wins."""

from __future__ import annotations

import contextlib
import json
import threading

import pytest
from live_server import START, converse, live_server, read_all, script
from live_speaker import FINISH, Speaker, log_of
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from speechlane.engine.scripted import ScriptedEngine
from speechlane.engine.scripted_audio import scripted_samples
from speechlane.live.config import SessionLimits
from speechlane.live.replay import replay

pytestmark = pytest.mark.integration

WORDS = script(18)
AUDIO = scripted_samples(0, WORDS[-1].end + 16_000).tobytes()
TEXT = " ".join(word.text.strip() for word in WORDS)
FRAME = 6_400
LIMITS = SessionLimits(resume_window_ms=60_000)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with live_server(ScriptedEngine(WORDS), WORDS, limits=LIMITS, logs=tmp_path_factory.mktemp("live")) as running:
        yield running


@pytest.fixture
def stack():
    with contextlib.ExitStack() as connections:
        yield connections


@pytest.mark.parametrize("fraction", [0.0, 0.02, 0.31, 0.5, 0.77, 1.0])
def test_a_lost_connection_is_taken_up_where_it_broke(server, fraction, stack):
    """Cut anywhere, resume, send again from `replay_from_bytes`: every word once, every durable message once."""
    speaker = Speaker(server.url, AUDIO, stack)
    speaker.say(0, round(len(AUDIO) * fraction) // 2 * 2 + 1)
    speaker.drop()
    resumed = speaker.resume()
    assert resumed["type"] == "session.resumed"
    assert resumed["replay_from_ms"] == resumed["replay_from_bytes"] // 4 // 16
    speaker.say(resumed["replay_from_bytes"], len(AUDIO))
    assert speaker.finish() == 1000
    assert speaker.text == TEXT
    speaker.check_sequence()


def test_a_connection_may_break_again_and_again(server, stack):
    """Ten breaks, some amid a sample, some before anything was sent anew, change no word; the log replays exactly."""
    speaker = Speaker(server.url, AUDIO, stack)
    start = 0
    for part in range(1, 11):
        speaker.say(start, max(start, len(AUDIO) * part // 11 + part % 4))
        if part % 3:
            speaker.receive()
        speaker.drop()
        start = speaker.resume()["replay_from_bytes"]
    speaker.say(start, len(AUDIO))
    assert speaker.finish() == 1000
    assert speaker.text == TEXT
    speaker.check_sequence()
    report = replay(log_of(server.logs, speaker.started["session"]))
    assert report.identical, report.difference


def test_what_was_missed_is_sent_again_with_the_newest_partial(server, stack):
    """`after_seq` says what the client has: the rest comes once more, as it was, then the newest partial."""
    speaker = Speaker(server.url, AUDIO, stack)
    speaker.say(0, WORDS[8].end * 4)
    while speaker.receive()["type"] != "caption.final":
        pass
    speaker.receive_until("caption.partial")
    first = [message for message in speaker.messages if "seq" in message]
    speaker.drop()
    speaker.messages = speaker.messages[:1]
    resumed = speaker.resume()
    assert resumed["last_seq"] >= len(first)
    again = [speaker.receive() for _ in range(resumed["last_seq"])]
    assert [message for message in again if "seq" in message][: len(first) - 1] == first[1:]
    assert again[-1]["type"] == "caption.partial"


def test_every_stored_byte_is_acknowledged(server, stack):
    """What was received is stored, so a client need not keep it: `audio.ack` says so."""
    speaker = Speaker(server.url, AUDIO, stack)
    speaker.say(0, 4 * 32_000)
    ack = speaker.receive_until("audio.ack")
    assert ack["replay_from_bytes"] == ack["received_bytes"] >= 4 * 16_000
    assert ack["replay_from_ms"] == ack["replay_from_bytes"] // 64
    assert speaker.finish() == 1000


def test_the_newest_connection_wins(server, stack):
    """A second connection takes the session; the first is told and closed 4409, and what it still sends is dropped."""
    speaker = Speaker(server.url, AUDIO, stack)
    speaker.say(0, len(AUDIO) // 3)
    older = speaker.connection
    resumed = speaker.resume()
    with contextlib.suppress(ConnectionClosed):
        for _ in range(20):
            older.send(AUDIO[:FRAME])
    assert read_all(older)[-1]["code"] == "taken_elsewhere"
    assert older.close_code == 4409
    speaker.say(resumed["replay_from_bytes"], len(AUDIO))
    assert speaker.finish() == 1000
    assert speaker.text == TEXT


@pytest.mark.parametrize(
    "wrong", [{"resume_token": "guess"}, {"resume_token": "gu\u00e9ss"}, {"session": "ses_0"}, {"session": "../x"}]
)
def test_a_session_is_given_to_its_own_client_alone(server, wrong, stack):
    """A wrong token and an unknown session are refused alike, 4404; the session's own connection goes on."""
    speaker = Speaker(server.url, AUDIO, stack)
    messages, code = converse(server.url, [speaker.ticket() | wrong])
    assert (messages[0]["code"], code) == ("unknown_session", 4404)
    assert speaker.finish() == 1000


def test_another_tenant_cannot_resume_a_session(tmp_path):
    """Even with the token: sessions belong to the key that opened them."""
    keys = {"acme": "a" * 20, "other": "o" * 20}
    with live_server(ScriptedEngine(WORDS), WORDS, limits=LIMITS, logs=tmp_path, keys=keys) as running:
        own, other = ({"Authorization": f"Bearer {key}"} for key in keys.values())
        with connect(running.url, additional_headers=own) as client:
            client.send(json.dumps(START))
            started = json.loads(client.recv())
            ask = {"type": "session.resume", "after_seq": 0} | {k: started[k] for k in ("session", "resume_token")}
            assert converse(running.url, [ask], additional_headers=other)[1] == 4404
            client.send(FINISH)
            read_all(client)


def test_messages_that_were_never_sent_cannot_be_resumed_behind(server, stack):
    """An `after_seq` beyond the session's last message is refused by name, 4400."""
    speaker = Speaker(server.url, AUDIO, stack)
    messages, code = converse(server.url, [speaker.ticket() | {"after_seq": 7}])
    assert (messages[0]["field"], messages[0]["limit"], code) == ("after_seq", 1, 4400)
    assert speaker.finish() == 1000


def test_an_end_that_did_not_arrive_is_told_again(server, stack):
    """`session.finish`, then a break: the session's rest and its end come on resume, close 1000, as often as asked."""
    speaker = Speaker(server.url, AUDIO, stack)
    speaker.say(0, len(AUDIO))
    speaker.connection.send(FINISH)
    wait_until(lambda: "FinishRequested" in "".join(log_of(server.logs, speaker.started["session"])))
    speaker.drop()
    for _ in range(2):
        speaker.messages = speaker.messages[:1]
        assert speaker.resume()["type"] == "session.resumed"
        assert speaker.hear_out() == 1000
        assert speaker.messages[-1]["type"] == "session.finished"
        assert speaker.text == TEXT
        speaker.check_sequence()


def test_a_client_that_does_not_come_back_is_settled(tmp_path, stack):
    """When the window is over the session finishes, its stored audio is deleted, and it can no longer be resumed."""
    limits = SessionLimits(resume_window_ms=300)
    with live_server(ScriptedEngine(WORDS), WORDS, limits=limits, logs=tmp_path) as running:
        speaker = Speaker(running.url, AUDIO, stack)
        speaker.say(0, len(AUDIO))
        speaker.connection.send(json.dumps({"type": "audio.flush"}))
        speaker.receive_until("audio.flushed")
        folder = tmp_path / speaker.started["session"]
        assert sum(piece.stat().st_size for piece in (folder / "spool").iterdir()) > 0
        speaker.drop()
        wait_until(lambda: not (folder / "spool").exists())
        assert converse(running.url, [speaker.ticket()])[1] == 4404
    assert '"session.finished"' in json.loads(log_of(tmp_path, speaker.started["session"])[-1])["message"]


def test_kept_audio_stands_beside_the_log(tmp_path, stack):
    """With `event_audio` every byte of the client's stream stays, in order, when the session is over."""
    limits = SessionLimits(resume_window_ms=100)
    with live_server(ScriptedEngine(WORDS), WORDS, limits=limits, logs=tmp_path, keep_audio=True) as running:
        speaker = Speaker(running.url, AUDIO, stack)
        speaker.say(0, len(AUDIO))
        assert speaker.finish() == 1000
        kept = tmp_path / speaker.started["session"] / "audio"
        wait_until(kept.exists)
    assert b"".join(piece.read_bytes() for piece in sorted(kept.iterdir())) == AUDIO


def test_without_a_log_no_resume_is_offered(stack):
    """Nothing is stored, so nothing is promised: no token, a window of 0, and a lost connection is settled at once."""
    with live_server(ScriptedEngine(WORDS), WORDS, limits=LIMITS) as running:
        speaker = Speaker(running.url, AUDIO, stack)
        assert (speaker.started["resume_token"], speaker.started["resume_window_s"]) == (None, 0)
        messages, code = converse(running.url, [speaker.ticket() | {"resume_token": "x"}])
        assert (messages[0]["code"], code) == ("unknown_session", 4404)


def wait_until(true) -> None:
    """A bounded wait on another thread's work."""
    for _ in range(400):
        if true():
            return
        threading.Event().wait(0.025)
    raise AssertionError("it did not come about")
