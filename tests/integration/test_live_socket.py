"""The live lane over real sockets, with the scripted engine: the contract's messages, errors and close codes."""

from __future__ import annotations

import asyncio
import json
import threading

import numpy as np
import pytest
from live_server import START, converse, live_server, read_all, script
from websockets.sync.client import connect

from speechlane.engine.scripted import ScriptedEngine
from speechlane.engine.scripted_audio import scripted_samples
from speechlane.errors import EngineFailed, StorageFailed
from speechlane.live.config import SessionLimits
from speechlane.live.replay import replay

pytestmark = pytest.mark.integration

WORDS = script(18)
AUDIO = scripted_samples(0, WORDS[-1].end + 16_000).tobytes()
TEXT = " ".join(word.text.strip() for word in WORDS)
FINISH = {"type": "session.finish"}


@pytest.fixture(scope="module")
def server():
    with live_server(ScriptedEngine(WORDS), WORDS) as running:
        yield running


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def finals(messages: list[dict]) -> list[dict]:
    return [message for message in messages if message["type"] == "caption.final"]


def text(messages: list[dict]) -> str:
    return " ".join(final["text"] for final in finals(messages))


def test_a_session_from_start_to_finish(server):
    """Start, audio, finish: started first, every word once in finals, finished last, close 1000, durable seq whole."""
    messages, code = converse(server.url, [START, *cut(AUDIO, 6_400), FINISH])
    assert code == 1000
    assert messages[0]["type"] == "session.started"
    assert messages[0]["resume_window_s"] == 0
    assert messages[0]["route"] == {"engine": "scripted", "model": "script", "revision": "0" * 40, "locale": None}
    assert text(messages) == TEXT
    assert messages[-1]["type"] == "session.finished"
    assert messages[-1]["segments"] == len(finals(messages)) == 3
    durable = [message["seq"] for message in messages if "seq" in message]
    assert durable == list(range(1, len(durable) + 1))


@pytest.mark.parametrize("size", [999, 4_096, 64_001, 10**6 // 2])
def test_how_frames_are_cut_changes_no_final(server, size):
    """Finals are equal, words and times too, for any cut of the same bytes."""
    whole, _ = converse(server.url, [START, *cut(AUDIO, 6_400), FINISH])
    other, _ = converse(server.url, [START, *cut(AUDIO, size), FINISH])

    def caption(final):
        return {key: value for key, value in final.items() if key not in {"provenance", "seq"}}

    assert [caption(final) for final in finals(other)] == [caption(final) for final in finals(whole)]


def test_every_final_is_recorded_before_it_is_sent(server):
    """The registry holds the chain of the session's records, equal to those the finals carry."""
    messages, _ = converse(server.url, [START, *cut(AUDIO, 6_400), FINISH])
    chain = asyncio.run(server.registry.chain("default", session=messages[0]["session"]))
    assert [record.as_fields() for record in chain] == [final["provenance"][0] for final in finals(messages)]


def test_the_event_log_replays_to_the_messages_sent(tmp_path):
    """The log on disk replays byte for byte, and holds exactly what the client received of durable messages."""
    with live_server(ScriptedEngine(WORDS), WORDS, logs=tmp_path) as running:
        messages, _ = converse(running.url, [START, *cut(AUDIO, 6_400), FINISH])
    log = tmp_path / messages[0]["session"] / "events.jsonl"
    report = replay(log.read_text(encoding="utf-8").splitlines(keepends=True))
    assert report.identical
    logged = [json.loads(line) for line in report.messages]
    assert [m for m in logged if "seq" in m] == [m for m in messages if "seq" in m]


def test_a_flush_is_answered_behind_its_finals(server):
    """`audio.flush` settles what was sent so far; the session stays open for more."""
    half = WORDS[8].end * 4
    messages, code = converse(
        server.url, [START, AUDIO[:half], {"type": "audio.flush", "id": "f1"}, AUDIO[half:], FINISH]
    )
    kinds = [message["type"] for message in messages]
    flushed = kinds.index("audio.flushed")
    assert messages[flushed]["id"] == "f1"
    before = text(messages[:flushed]).split()
    assert before[:8] == TEXT.split()[:8]
    assert text(messages).split()[-4:] == TEXT.split()[-4:]
    assert code == 1000


def test_a_ping_is_answered(server):
    """`ping` is answered by `pong` with its id."""
    messages, _ = converse(server.url, [START, {"type": "ping", "id": "p7"}, FINISH])
    assert {"type": "pong", "id": "p7"} in messages


def test_interim_false_sends_finals_only(server):
    """Without interim results there is no partial, and every word still comes."""
    messages, _ = converse(server.url, [START | {"interim": False, "words": False}, *cut(AUDIO, 6_400), FINISH])
    assert "caption.partial" not in {message["type"] for message in messages}
    assert text(messages) == TEXT
    assert "words" not in finals(messages)[0]


def test_a_partial_sample_at_the_end_is_told(server):
    """Leftover bytes are dropped with a warning, not in silence."""
    messages, code = converse(server.url, [START, AUDIO + b"\x01\x02\x03", FINISH])
    (warning,) = [message for message in messages if message["type"] == "warning"]
    assert (warning["code"], warning["limit"]) == ("partial_sample", 4)
    assert code == 1000


def audio(**fields) -> dict:
    return START | {"audio": START["audio"] | fields}


@pytest.mark.parametrize(
    ("frame", "code", "error", "field"),
    [
        (b"\x00\x00", 4400, "bad_start", "type"),
        ("no json", 4400, "bad_json", None),
        ("[1]", 4400, "bad_json", "type"),
        ({"type": "hello"}, 4400, "bad_start", "type"),
        (
            {"type": "session.resume", "session": "s", "resume_token": "t", "after_seq": 1},
            4404,
            "unknown_session",
            "session",
        ),
        ({"type": "session.start"}, 4400, "missing_field", "audio"),
        (START | {"colour": "red"}, 4400, "unknown_field", "colour"),
        (audio(colour="red"), 4400, "unknown_field", "audio.colour"),
        (audio(encoding="amr"), 4400, "unsupported_encoding", "audio.encoding"),
        (audio(encoding="webm_opus"), 4400, "field_not_allowed", "audio.sample_rate"),
        (audio(encoding="wav", sample_rate=None), 4400, "field_not_allowed", "audio.channels"),
        (audio(sample_rate=4_000), 4400, "invalid_sample_rate", "audio.sample_rate"),
        (audio(sample_rate=None), 4400, "missing_field", "audio.sample_rate"),
        (audio(sample_rate="16000"), 4400, "invalid_field", "audio.sample_rate"),
        (audio(channels=9), 4400, "invalid_channels", "audio.channels"),
        (START | {"language": "de"}, 4400, "unsupported_language", "language"),
        (START | {"language": "english please"}, 4400, "invalid_language", "language"),
        (START | {"endpointing_ms": 10}, 4400, "invalid_field", "endpointing_ms"),
        (START | {"diarize": "speaker"}, 4400, "diarize_unsupported", "diarize"),
        (START | {"diarize": "all"}, 4400, "invalid_field", "diarize"),
        (START | {"archive": True}, 4400, "archive_unsupported", "archive"),
        (START | {"route": {"model": "large"}}, 4400, "unknown_model", "route.model"),
        (START | {"route": {"speed": 1}}, 4400, "unknown_field", "route.speed"),
        (START | {"keyterms": [""]}, 4400, "invalid_field", "keyterms.0"),
        (START | {"metadata": {"x": "y" * 20_000}}, 4400, "metadata_too_large", "metadata"),
    ],
)
def test_a_bad_start_is_refused_with_its_field(server, frame, code, error, field):
    """One error with code, field and a next step, then the contract's close code; no session is opened."""
    messages, closed = converse(server.url, [frame])
    assert closed == code
    (message,) = messages
    assert (message["type"], message["code"], message["field"]) == ("error", error, field)
    assert message["fault"] == "client"
    assert len(message["message"]) > 20


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        ("{", "bad_json"),
        ("3", "bad_json"),
        ({"type": "audio.rewind"}, "unknown_type"),
        ({"id": "x"}, "unknown_type"),
        ({"type": "ping", "to": "x"}, "unknown_field"),
        (START, "already_started"),
    ],
)
def test_a_broken_protocol_closes_1008_and_loses_nothing(server, frame, error):
    """A frame that the contract does not know ends the session: finals first, then the error, then 1008."""
    messages, code = converse(server.url, [START, AUDIO, frame])
    assert code == 1008
    assert (messages[-1]["type"], messages[-1]["code"]) == ("error", error)
    assert text(messages) == TEXT


def test_a_frame_over_the_limit_closes_1009():
    """Frames over `max_frame_bytes` close the connection with 1009; the limit was told at the start."""
    with live_server(ScriptedEngine(WORDS), WORDS, max_frame_bytes=10_000) as running, connect(running.url) as client:
        client.send(json.dumps(START))
        assert json.loads(client.recv())["limits"]["max_frame_bytes"] == 10_000
        client.send(b"\x00" * 10_001)
        read_all(client)
        assert client.close_code == 1009


def test_keys_guard_the_door():
    """With keys configured: none, a wrong one and one in the URL are refused 4401; Bearer and subprotocol pass."""
    key = "k" * 20
    with live_server(ScriptedEngine(WORDS), WORDS, keys={"acme": key}) as running:
        for options, url in [
            ({}, running.url),
            ({"additional_headers": {"Authorization": "Bearer wrong"}}, running.url),
            ({}, f"{running.url}?key={key}"),
        ]:
            messages, code = converse(url, [START], **options)
            assert code == 4401
            assert messages[-1]["type"] == "error"
            assert key not in json.dumps(messages)
        good, code = converse(running.url, [START, FINISH], additional_headers={"Authorization": f"Bearer {key}"})
        assert (good[0]["type"], code) == ("session.started", 1000)
        with connect(running.url, subprotocols=["speechlane.v1", f"speechlane.key.{key}"]) as client:
            assert client.subprotocol == "speechlane.v1"
            client.send(json.dumps(START))
            client.send(json.dumps(FINISH))
            assert read_all(client)[-1]["type"] == "session.finished"


def test_a_page_of_another_site_is_refused_without_keys(server):
    """Without keys the server is for this machine: a foreign Origin is refused 4401."""
    messages, code = converse(server.url, [START], origin="https://evil.example")
    assert (messages[0]["code"], code) == ("origin_refused", 4401)


def test_a_session_over_capacity_is_refused_with_a_hint():
    """One session too many gets 4429 and a time to wait; the others go on."""
    with live_server(ScriptedEngine(WORDS), WORDS, max_sessions=1) as running, connect(running.url) as first:
        first.send(json.dumps(START))
        assert json.loads(first.recv())["type"] == "session.started"
        messages, code = converse(running.url, [START])
        assert (messages[0]["code"], messages[0]["limit"], code) == ("too_many_sessions", 1, 4429)
        assert messages[0]["retry_after_ms"] > 0
        first.send(AUDIO)
        first.send(json.dumps(FINISH))
        assert text(read_all(first)) == TEXT


def test_an_idle_session_is_closed_4408():
    """No audio and no ping for the idle time: told, settled, closed 4408."""
    limits = SessionLimits(idle_timeout_ms=300, stall_ms=100)
    with live_server(ScriptedEngine(WORDS), WORDS, limits=limits) as running:
        messages, code = converse(running.url, [START, AUDIO[: WORDS[3].end * 4]])
        assert (messages[-1]["code"], code) == ("idle_timeout", 4408)
        assert text(messages).startswith("word0 word1")


def test_an_engine_that_fails_for_good_ends_the_session_1011():
    """An engine's fault is told as the engine's, and the close is 1011."""
    broken = EngineFailed("engine_failed", "The model is gone.", retryable=False)
    with live_server(ScriptedEngine(WORDS, failures=[broken] * 50), WORDS) as running:
        messages, code = converse(running.url, [START, AUDIO, FINISH])
        assert (messages[-1]["code"], messages[-1]["fault"], code) == ("engine_failed", "engine", 1011)


def test_an_engine_that_fails_now_and_then_loses_nothing():
    """Failures that may pass are tried again; every word still comes once."""
    hiccup = EngineFailed("engine_failed", "A hiccup.")
    with live_server(ScriptedEngine(WORDS, failures=[None, hiccup, None, None, hiccup]), WORDS) as running:
        messages, code = converse(running.url, [START, *cut(AUDIO, 6_400), FINISH])
        assert (text(messages), code) == (TEXT, 1000)


def test_a_final_whose_record_cannot_be_stored_is_not_shown():
    """The registry comes first: when it fails, the session ends 1011 without the final."""

    async def fails(_tenant, _record):
        raise StorageFailed("database_failed", "The disk is full. Make room.")

    with live_server(ScriptedEngine(WORDS), WORDS) as running:
        running.registry.append = fails
        messages, code = converse(running.url, [START, *cut(AUDIO, 64_000), FINISH])
        assert finals(messages) == []
        assert (messages[-1]["code"], code) == ("database_failed", 1011)


@pytest.mark.parametrize(
    "text",
    ['{"type": "ping", "id": ' + "[" * 100_000, '{"type": "ping", "id": "\\ud800"}', '{"type": "ping", "id": NaN}'],
    ids=["deep", "surrogate", "nan"],
)
def test_json_that_cannot_be_stored_is_refused_everywhere(server, text):
    """Endless nesting, half a surrogate pair and NaN are told as bad JSON, at the start and later."""
    messages, code = converse(server.url, [text])
    assert (messages[0]["code"], code) == ("bad_json", 4400)
    messages, code = converse(server.url, [START, text])
    assert (messages[-1]["code"], code) == ("bad_json", 1008)


def test_the_end_of_the_drain_is_told():
    """An engine that never answers cannot keep the server: the session is told of the restart and closed 1012."""
    forever = asyncio.Event()

    async def never(_request):
        await forever.wait()

    with live_server(ScriptedEngine(WORDS, before_answer=never), WORDS) as running, connect(running.url) as client:
        client.send(json.dumps(START))
        client.send(AUDIO[: WORDS[3].end * 4])
        messages = [json.loads(client.recv()) for _ in range(2)]
        asyncio.run_coroutine_threadsafe(running.hub.stop(0.2), loop_of(running))
        messages += read_all(client)
        assert (messages[-1]["code"], client.close_code) == ("server_restart", 1012)


def test_a_client_that_leaves_is_still_recorded(tmp_path):
    """A lost connection settles what was heard: the log ends with the finals of all that was said."""
    with live_server(ScriptedEngine(WORDS), WORDS, logs=tmp_path) as running, connect(running.url) as client:
        client.send(json.dumps(START))
        session = json.loads(client.recv())["session"]
        client.send(AUDIO)
        client.send(json.dumps({"type": "audio.flush"}))
        while json.loads(client.recv())["type"] != "audio.flushed":
            pass
        client.socket.close()
    lines = (tmp_path / session / "events.jsonl").read_text(encoding="utf-8").splitlines()
    assert '"session.finished"' in json.loads(lines[-1])["message"]


def test_a_stop_of_the_server_settles_open_sessions():
    """SIGTERM's path: what was heard becomes final, the client is told, the close is 1012."""
    with live_server(ScriptedEngine(WORDS), WORDS) as running, connect(running.url) as client:
        client.send(json.dumps(START))
        client.send(AUDIO[: WORDS[3].end * 4])
        messages = [json.loads(client.recv()) for _ in range(3)]
        threading.Thread(target=lambda: asyncio.run_coroutine_threadsafe(running.hub.stop(5), loop_of(running))).start()
        messages += read_all(client)
        assert client.close_code == 1012
        assert messages[-1]["code"] == "server_restart"
        assert text(messages).startswith("word0 word1")


def loop_of(running):
    (loop,) = {task.get_loop() for task in running.hub._running}
    return loop


def test_two_channels_share_one_engine(server):
    """`diarize: channel` keeps a timeline a channel: both give every word, told apart by `channel`."""
    both = np.repeat(np.frombuffer(AUDIO, "<f4"), 2).tobytes()
    messages, _ = converse(server.url, [audio(channels=2) | {"diarize": "channel"}, *cut(both, 64_000), FINISH])
    for channel in (0, 1):
        assert text([m for m in finals(messages) if m["channel"] == channel]) == TEXT
