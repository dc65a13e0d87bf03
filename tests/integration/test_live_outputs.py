"""Beside the live socket: state, transcript, manifest, captions, for readers early, late and after a restart."""

from __future__ import annotations

import io
import json
import os
import shutil
import threading

import av
import httpx
import m3u8
import pytest
import webvtt
from live_server import START, converse, live_server, script
from websockets.sync.client import connect

from speechlane.engine.scripted import ScriptedEngine
from speechlane.engine.scripted_audio import scripted_samples
from speechlane.live.config import SessionLimits
from speechlane.runtime.scripted_stream import ScriptedStreamingEngine

pytestmark = pytest.mark.integration

WORDS = script(48)
SAMPLES = WORDS[-1].end + 24_000
SOUND = scripted_samples(0, SAMPLES).tobytes()
AUDIO = [SOUND[at : at + 6_400] for at in range(0, len(SOUND), 6_400)]
FINISH = {"type": "session.finish"}
SPOKEN = [word.text.strip() for word in WORDS]


@pytest.fixture
def server(tmp_path):
    with live_server(ScriptedEngine(WORDS), WORDS, logs=tmp_path) as running:
        yield running


def address(running) -> str:
    return running.url.replace("ws", "http", 1)


def send(client, frames) -> None:
    for frame in frames:
        client.send(frame)


def spoken(texts) -> list[str]:
    return " ".join(texts).split()


def finals_until(client, count):
    """Read until that many finals came."""
    found = []
    while len(found) < count:
        message = json.loads(client.recv(timeout=5))
        found += [message] if message["type"] == "caption.final" else []
    return found


def hls_words(base):
    """The playlist, its segments' texts, and every word of them, each cue once."""
    playlist = m3u8.loads(httpx.get(f"{base}/captions.m3u8").text, uri=f"{base}/captions.m3u8")
    bodies = [httpx.get(segment.absolute_uri) for segment in playlist.segments]
    assert all(body.status_code == 200 and "immutable" in body.headers["cache-control"] for body in bodies)
    texts = [body.text for body in bodies]
    assert all("\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n\n" in text for text in texts)
    cues = {}
    for text in texts:
        cues |= {cue.start: cue.text for cue in webvtt.from_buffer(io.StringIO(text))}
    return playlist, texts, spoken(cues[start] for start in sorted(cues))


def test_readers_join_while_a_session_is_live_and_after_it(server):
    """A reader amid the session gets the settled captions, marked partial; one after it gets all, in every format."""
    with connect(server.url) as client:
        client.send(json.dumps(START))
        session = json.loads(client.recv())["session"]
        base = f"{address(server)}/{session}"
        most = len(AUDIO) * 3 // 4
        send(client, AUDIO[:most])
        finals_until(client, 4)
        state = httpx.get(base).json()
        assert (state["state"], state["session"]) == ("open", session)
        amid = httpx.get(f"{base}/transcript", params={"format": "json"})
        assert amid.json()["partial"] is True
        assert amid.headers["speechlane-partial"] == "true"
        early, early_texts, early_words = hls_words(base)
        assert not early.is_endlist
        assert early_words
        assert early_words == SPOKEN[: len(early_words)]
        send(client, AUDIO[most:])
        client.send(json.dumps(FINISH))
        for _ in client:
            pass
    state = httpx.get(base).json()
    assert (state["state"], state["duration_ms"]) == ("closed", SAMPLES // 16)
    assert state["route"]["model"] == "script"
    whole = httpx.get(f"{base}/transcript", params={"format": "json"}).json()
    assert "partial" not in whole
    assert spoken(segment["text"] for segment in whole["segments"]) == SPOKEN
    assert httpx.get(f"{base}/transcript", headers={"accept": "text/plain"}).text.split()[1:7] == SPOKEN[:6]
    assert "00:00:00,500 -->" in httpx.get(f"{base}/transcript", params={"format": "srt"}).text
    late, late_texts, late_words = hls_words(base)
    assert late.is_endlist
    assert (late.playlist_type, late.media_sequence, late.target_duration) == ("event", 0, 6)
    assert late.segments[0].program_date_time is not None
    assert sum(segment.duration for segment in late.segments) == pytest.approx(SAMPLES / 16_000, abs=0.001)
    assert late_words == SPOKEN
    assert late_texts[: len(early_texts)] == early_texts


def test_growing_webvtt_is_told_once_and_followed_to_the_end(server):
    """A follower gets every cue in one answer that ends with the session; a plain GET has an ETag."""
    with connect(server.url) as client:
        client.send(json.dumps(START))
        session = json.loads(client.recv())["session"]
        url = f"{address(server)}/{session}/captions.vtt"
        received = []

        def follow():
            received.append(httpx.get(url, params={"follow": "true"}, timeout=30))

        follower = threading.Thread(target=follow)
        follower.start()
        send(client, AUDIO)
        finals_until(client, 2)
        client.send(json.dumps(FINISH))
        for _ in client:
            pass
        follower.join(30)
    plain = httpx.get(url)
    assert plain.headers["content-type"].startswith("text/vtt")
    assert plain.headers["cache-control"] == "private, no-cache"
    assert httpx.get(url, headers={"if-none-match": plain.headers["etag"]}).status_code == 304
    assert received[0].text == plain.text
    assert spoken(cue.text for cue in webvtt.from_buffer(io.StringIO(plain.text))) == SPOKEN


def test_a_player_opens_the_playlist(server):
    """FFmpeg's HLS demuxer reads the captions over HTTP, each cue's time and text."""
    messages, _ = converse(server.url, [START, *AUDIO, FINISH])
    url = f"{address(server)}/{messages[0]['session']}/captions.m3u8"
    options = {"allowed_extensions": "ALL", "extension_picky": "0"}
    with av.open(url, options=options) as container:
        assert container.streams[0].type == "subtitle"
        cues = {packet.pts: bytes(packet).decode() for packet in container.demux() if packet.size}
    assert spoken(cues[start] for start in sorted(cues)) == SPOKEN


def test_the_manifest_names_every_chunk_and_output(server):
    """Input, policy, routes, the registry's chunks, and digests of the outputs once the session is closed."""
    messages, _ = converse(server.url, [START, *AUDIO, FINISH])
    manifest = httpx.get(f"{address(server)}/{messages[0]['session']}/manifest").json()
    records = [record for message in messages for record in message.get("provenance", [])]
    assert [chunk["hash"] for chunk in manifest["chunks"]] == [record["hash"] for record in records]
    assert manifest["input"]["encoding"] == "pcm_f32le"
    assert set(manifest["outputs"]) == {f"transcript.{name}" for name in ("json", "txt", "srt", "vtt")}


def test_sessions_are_read_after_a_restart_and_by_their_own_tenant_alone(tmp_path):
    """The log is enough; another tenant's session, an unknown one and one without a log are 404 by name."""
    keys = {"one": "key-of-tenant-one", "two": "key-of-tenant-two"}
    one, two = ({"Authorization": f"Bearer {key}"} for key in keys.values())
    with live_server(ScriptedEngine(WORDS), WORDS, logs=tmp_path, keys=keys) as running:
        messages, _ = converse(running.url, [START, *AUDIO, FINISH], additional_headers=one)
    session = messages[0]["session"]
    with live_server(ScriptedEngine(WORDS), WORDS, logs=tmp_path, keys=keys) as running:
        url = f"{address(running)}/{session}/transcript?format=txt"
        assert [word for word in httpx.get(url, headers=one).text.split() if word.startswith("word")] == SPOKEN
        assert httpx.get(url).status_code == 401
        for problem in (
            httpx.get(url, headers=two),
            httpx.get(f"{address(running)}/ses_{'0' * 24}", headers=one),
            httpx.get(f"{address(running)}/ses_%2e%2e", headers=one),
        ):
            assert (problem.status_code, problem.json()["code"]) == (404, "unknown_session")
    with live_server(ScriptedEngine(WORDS), WORDS) as running:
        problem = httpx.get(f"{address(running)}/{session}")
        assert (problem.status_code, problem.json()["code"]) == (404, "no_event_log")


def test_speech_that_goes_on_counts(server):
    """Before the first pause the state tells the speech so far, not none."""
    with connect(server.url) as client:
        send(client, [json.dumps(START), *AUDIO[:20], '{"type":"ping"}'])
        messages = [json.loads(client.recv(timeout=5))]
        while messages[-1]["type"] != "pong":
            messages.append(json.loads(client.recv(timeout=5)))
        state = httpx.get(f"{address(server)}/{messages[0]['session']}").json()
    assert [message["type"] for message in messages if message["type"] == "speech.ended"] == []
    assert 0 < state["speech_ms"] < state["duration_ms"] <= 2_000


def test_a_session_whose_process_died_can_be_read(tmp_path):
    """A log without its end: resumable, with what was settled."""
    limits = SessionLimits(resume_window_ms=3_600_000)
    with live_server(ScriptedEngine(WORDS), WORDS, logs=tmp_path, limits=limits) as running:
        messages, _ = converse(running.url, [START, *AUDIO, FINISH])
    session = messages[0]["session"]
    log = tmp_path / session / "events.jsonl"
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
    log.write_text("".join(lines[: len(lines) // 2]) + lines[-1][:20], encoding="utf-8")
    with live_server(ScriptedEngine(WORDS), WORDS, logs=tmp_path, limits=limits) as running:
        base = f"{address(running)}/{session}"
        state = httpx.get(base).json()
        assert state["state"] == "resumable"
        assert 0 < state["settled_ms"] <= state["duration_ms"]
        playlist, _, words = hls_words(base)
        assert not playlist.is_endlist
        assert words == SPOKEN[: len(words)]


def test_what_was_listed_stays_when_a_left_session_is_finished(tmp_path):
    """However old its log is, a killed session is not closed before the server has settled what it sent."""
    before, after = tmp_path / "before", tmp_path / "after"
    limits = SessionLimits(resume_window_ms=1_000)
    with (
        live_server(ScriptedEngine(WORDS), WORDS, logs=before, limits=limits) as running,
        connect(running.url) as client,
    ):
        client.send(json.dumps(START))
        session = json.loads(client.recv())["session"]
        send(client, AUDIO[:110])
        client.send(json.dumps({"type": "ping"}))
        while json.loads(client.recv(timeout=5))["type"] != "pong":
            pass
        shutil.copytree(before, after)  # as kill -9 leaves it
    os.utime(after / session / "events.jsonl", (1, 1))
    with live_server(ScriptedEngine(WORDS), WORDS, logs=after, limits=limits) as running:
        base = f"{address(running)}/{session}"
        assert httpx.get(base).json()["state"] == "resumable"
        early, early_texts, early_words = hls_words(base)
        assert not early.is_endlist
        httpx.get(f"{base}/captions.vtt", params={"follow": "true"}, timeout=30)  # goes on until the session is closed
        assert httpx.get(base).json()["state"] == "closed"
        late, late_texts, words = hls_words(base)
        assert late.is_endlist
        assert late_texts[: len(early_texts)] == early_texts
        assert words[:18] == SPOKEN[:18]
        assert len(words) > len(early_words)


def test_the_state_says_which_route_is_in_force(tmp_path):
    """Behind a failover it is the one that took over."""
    engines = [ScriptedStreamingEngine(WORDS, fails_at=WORDS[3].end), ScriptedEngine(WORDS)]
    with live_server(engines, WORDS, logs=tmp_path, limits=SessionLimits(failover_ms=400)) as running:
        messages, _ = converse(running.url, [START, *AUDIO, FINISH])
        (change,) = [message for message in messages if message["type"] == "route.changed"]
        state = httpx.get(f"{address(running)}/{messages[0]['session']}").json()
    assert state["route"] == change["to"] != messages[0]["route"]
    assert len(state["engines"]) == 2


def test_what_is_refused_says_why(server):
    """A plain GET of the socket, unknown parameters, and segments that are not listed have problems of their own."""
    plain = httpx.get(address(server))
    assert (plain.status_code, plain.json()["code"], plain.headers["upgrade"]) == (426, "upgrade_required", "websocket")
    messages, code = converse(f"{server.url}?language=en", [START])
    assert (messages[0]["code"], messages[0]["field"], code) == ("unknown_parameter", "language", 4400)
    messages, code = converse(f"{server.url}?key=abc", [START])
    assert (messages[0]["code"], code) == ("key_in_url", 4401)
    messages, _ = converse(server.url, [START, FINISH])
    base = f"{address(server)}/{messages[0]['session']}"
    for path, status, problem in (
        ("captions/0.vtt", 404, "unknown_segment"),
        ("captions/-1.vtt", 404, "unknown_segment"),
        ("captions.vtt?follow=1", 422, "invalid_parameter"),
        ("transcript?format=doc", 422, "unsupported_format"),
        ("captions.m3u8?x=1", 422, "unknown_parameter"),
    ):
        answer = httpx.get(f"{base}/{path}")
        assert (answer.status_code, answer.json()["code"]) == (status, problem)
