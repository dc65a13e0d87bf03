"""Encodings of the live lane on a real socket: containers while they arrive, companded samples, channels, faults."""

from __future__ import annotations

import json
import socket

import numpy as np
import pytest
from containers import encode, recording, tone
from live_server import START, converse, live_server, read_all, script
from media_recorder import CHROMIUM, record
from websockets.sync.client import connect

from speechlane.engine.scripted import ScriptedEngine
from speechlane.engine.scripted_audio import scripted_samples
from speechlane.live.config import SessionLimits
from speechlane.live.replay import replay

pytestmark = pytest.mark.integration

WORDS = script(8)
CARRIER = np.array(scripted_samples(0, WORDS[-1].end + 20_000), np.float32)
TEXT = "word0 word1 word2 word3 word4 word5 word6 word7"
FINISH = {"type": "session.finish"}


def start(encoding, **fields):
    return START | {"audio": {"encoding": encoding}} | fields


def slices(data, size=4_000):
    return [data[at : at + size] for at in range(0, len(data), size)]


def finals(messages, channel=0):
    return " ".join(
        message["text"] for message in messages if message["type"] == "caption.final" and message["channel"] == channel
    )


@pytest.fixture
def server():
    with live_server(ScriptedEngine(WORDS), WORDS) as running:
        yield running


def companded(encoding):
    """The carrier in G.711, by way of a WAV that FFmpeg writes."""
    data = encode("wav", CARRIER[None], 16_000, codec=f"pcm_{encoding}")
    return data[data.index(b"data") + 8 :]


@pytest.mark.parametrize("encoding", ["pcm_s16le", "pcm_f32le", "mulaw", "alaw"])
def test_raw_encodings(server, encoding):
    """Each raw encoding brings the same words."""
    match encoding:
        case "pcm_s16le":
            data = (CARRIER * 32_767).astype("<i2").tobytes()
        case "pcm_f32le":
            data = CARRIER.tobytes()
        case _:
            data = companded(encoding)
    audio = {"encoding": encoding, "sample_rate": 16_000, "channels": 1}
    messages, code = converse(server.url, [START | {"audio": audio}, *slices(data, 3_333), FINISH])
    assert (code, finals(messages)) == (1000, TEXT)


@pytest.mark.parametrize("rate", [8_000, 11_025, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("encoding", ["pcm_f32le", "mulaw", "alaw"])
def test_raw_rates(server, encoding, rate):
    """A second is a second at every rate."""
    size = 4 if encoding == "pcm_f32le" else 1
    audio = {"encoding": encoding, "sample_rate": rate, "channels": 1}
    messages, code = converse(server.url, [START | {"audio": audio}, *slices(bytes(rate * size), 999), FINISH])
    assert (code, messages[-1]["duration_ms"]) == (1000, 1_000)


@pytest.mark.parametrize("encoding", ["wav", "flac"])
def test_containers_without_loss_bring_the_words(server, encoding):
    """No rate and no channels are said; the header tells them."""
    data = encode(encoding, CARRIER[None], 16_000)
    messages, code = converse(server.url, [start(encoding), *slices(data, 1_111), FINISH])
    assert (code, finals(messages)) == (1000, TEXT)
    last_ack = [message for message in messages if message["type"] == "audio.ack"][-1]
    assert (last_ack["received_bytes"], last_ack["replay_from_bytes"]) == (len(data), 0)


@pytest.mark.parametrize("encoding", ["ogg_opus", "webm_opus", "mp3", "adts_aac"])
def test_containers_with_loss_bring_all_sound(server, encoding):
    """Every packet counts up to the end; an encoder's padding may stand behind it."""
    data = encode(encoding, tone(48_000, 2), 48_000)
    messages, code = converse(server.url, [start(encoding), *slices(data, 777), FINISH])
    assert code == 1000
    assert 2_000 <= messages[-1]["duration_ms"] <= 2_080


@pytest.mark.parametrize("encoding", ["wav", "flac"])
def test_each_channel_is_a_timeline(server, encoding):
    """With diarize "channel" the header is read first, then the session opens with a timeline a channel."""
    silence = np.zeros_like(CARRIER)
    data = encode(encoding, np.stack([silence, CARRIER, CARRIER]), 16_000)
    messages, code = converse(server.url, [start(encoding, diarize="channel"), *slices(data), FINISH])
    assert (code, messages[0]["type"]) == (1000, "session.started")
    assert [finals(messages, channel) for channel in range(3)] == ["", TEXT, TEXT]


def test_a_flush_brings_out_a_whole_flac_frame(server):
    """What was sent before `audio.flush` is settled by it, the last frame too."""
    data = encode("flac", CARRIER[None], 16_000)
    with connect(server.url) as client:
        client.send(json.dumps(start("flac")))
        for part in slices(data):
            client.send(part)
        client.send(json.dumps({"type": "audio.flush", "id": "f"}))
        messages = []
        while not messages or messages[-1]["type"] != "audio.flushed":
            messages.append(json.loads(client.recv()))
        assert finals(messages) == TEXT
        client.send(json.dumps(FINISH))
        assert read_all(client)[-1]["duration_ms"] == round(len(CARRIER) / 16)


def test_damage_settles_what_was_heard_and_closes(server):
    """The words before the damage become final, then one error, then 1008; other sessions go on."""
    data = encode("flac", CARRIER[None], 16_000)
    with connect(server.url) as other:
        other.send(json.dumps(start("wav")))
        messages, code = converse(server.url, [start("flac"), *slices(data), b"\0" * 4_000, *slices(data)])
        assert code == 1008
        assert finals(messages).startswith("word0 word1 word2 word3 word4 word5 word6")
        error = messages[-1]
        assert (error["type"], error["code"], error["field"]) == ("error", "invalid_audio", "audio.encoding")
        other.send(encode("wav", CARRIER[None], 16_000))
        other.send(json.dumps(FINISH))
        assert finals(read_all(other)) == TEXT


@pytest.mark.parametrize(
    ("diarize", "frames"),
    [
        ("none", [encode("wav", tone(16_000, 1), 16_000)]),
        ("channel", [encode("wav", tone(16_000, 1), 16_000)]),
        ("none", [b"\x1a\x45\xdf\xa3\x80", FINISH]),
    ],
    ids=["wrong", "wrong, channels apart", "header only"],
)
def test_a_wrong_or_empty_container_closes_1008(server, diarize, frames):
    """A WAV sent as webm_opus, a header and nothing more: told, with the field, never a hang."""
    messages, code = converse(server.url, [start("webm_opus", diarize=diarize), *frames])
    assert (code, messages[-1]["code"], messages[-1]["field"]) == (1008, "invalid_audio", "audio.encoding")


def test_a_session_that_waits_for_a_header_takes_nothing_else(server):
    """With diarize "channel" the container's header comes before any control message."""
    messages, code = converse(server.url, [start("wav", diarize="channel"), FINISH])
    assert (code, messages[-1]["code"], messages[-1]["field"]) == (4400, "bad_start", "audio")


def test_hours_of_silence_in_few_bytes_end_at_the_limit():
    """A stream that swells is decoded as far as the session's length allows, a piece at a time."""
    data = encode("flac", np.zeros((1, 16_000 * 60)), 16_000)
    with live_server(ScriptedEngine(WORDS), WORDS, limits=SessionLimits(max_session_ms=10_000)) as running:
        messages, code = converse(running.url, [start("flac"), data])
    assert (code, messages[-1]["code"]) == (4413, "session_too_long")


def test_the_log_of_a_container_replays(tmp_path):
    """A session's log knows no rate of a container, and replays to the same messages all the same."""
    with live_server(ScriptedEngine(WORDS), WORDS, logs=tmp_path) as running:
        data = encode("wav", CARRIER[None], 16_000)
        messages, _ = converse(running.url, [start("wav"), *slices(data), FINISH])
    log = tmp_path / messages[0]["session"] / "events.jsonl"
    report = replay(log.read_text(encoding="utf-8").splitlines(keepends=True))
    assert report.identical


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_browser_records_what_is_read(server):
    """A real MediaRecorder's slices, as they came, are taken; the sound is as long as what was played."""
    sound = encode("wav", tone(48_000, 2), 48_000, seekable=True)
    messages, code = converse(server.url, [start("webm_opus"), *record(sound), FINISH])
    assert code == 1000
    assert 1_900 <= messages[-1]["duration_ms"] <= 3_500


def test_a_browsers_recording_is_heard_to_its_end(server):
    """The recording of the JFK sample, in its own slices, is as long as the sample."""
    messages, code = converse(server.url, [start("webm_opus"), *recording(), FINISH])
    assert code == 1000
    assert 10_900 <= messages[-1]["duration_ms"] <= 11_500


@pytest.mark.parametrize("encoding", ["flac", "webm_opus"])
def test_a_container_is_taken_up_where_its_connection_broke(tmp_path, encoding):
    """The server keeps the header and the decoder's state: the client sends on from `replay_from_bytes`."""
    carrier = encoding == "flac"
    data = encode(encoding, CARRIER[None], 16_000) if carrier else encode(encoding, tone(48_000, 3), 48_000)
    limits = SessionLimits(resume_window_ms=60_000)
    with live_server(ScriptedEngine(WORDS), WORDS, limits=limits, logs=tmp_path) as running:
        with connect(running.url) as client:
            client.send(json.dumps(start(encoding)))
            begun = json.loads(client.recv())
            client.send(data[: len(data) // 2])
            client.socket.shutdown(socket.SHUT_RDWR)
        ticket = {"type": "session.resume", "after_seq": 1} | {key: begun[key] for key in ("session", "resume_token")}
        with connect(running.url) as client:
            client.send(json.dumps(ticket))
            resumed = json.loads(client.recv())
            assert resumed["type"] == "session.resumed", resumed
            client.send(data[resumed["replay_from_bytes"] :])
            client.send(json.dumps(FINISH))
            messages = read_all(client)
    assert messages[-1]["duration_ms"] == (round(len(CARRIER) / 16) if carrier else 3_000)
    assert finals(messages) == (TEXT if carrier else "")
