"""What one session may store: bounded while nothing is heard, in bytes, and by the room on the disk."""

from __future__ import annotations

import contextlib
import json
import struct
from pathlib import Path

import pytest
from live_server import START, converse, live_server, read_all, script
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from speechlane.engine.scripted import ScriptedEngine
from speechlane.engine.scripted_audio import scripted_samples
from speechlane.errors import StorageFailed
from speechlane.live.config import SessionLimits
from speechlane.live.replay import replay
from speechlane.media.framing import MAX_WITHOUT_SOUND
from speechlane.storage.folder import DataFolder

pytestmark = pytest.mark.integration

WORDS = script(8)
SOUND = scripted_samples(0, WORDS[-1].end + 20_000).tobytes()
_FLOATS = struct.pack("<HHIIHH", 3, 1, 16_000, 64_000, 4, 32)
WAV = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0" + _FLOATS + b"data\0\0\0\0"
VOID = bytes.fromhex("1a45dfa380 ec 01fffffffffffffe")  # an EBML head, then a Void that takes all that follows
ID3 = b"ID3\x04\0\0\x7f\x7f\x7f\x7f"  # a tag of 256 MiB
CHUNK = b"RIFF\0\0\0\0WAVEjunk\xff\xff\xff\x7f"


def start(encoding: str) -> dict:
    return START | {"audio": {"encoding": encoding}}


def stored(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def flood(url: str, first: list, frame: bytes | str, times: int) -> tuple[list[dict], int]:
    """Send one frame again and again until the server closes; its messages and the close code."""
    with connect(url) as client:
        with contextlib.suppress(ConnectionClosed):
            for item in [*first, *[frame] * times]:
                client.send(item if isinstance(item, bytes | str) else json.dumps(item))
        return read_all(client), client.close_code


@pytest.mark.parametrize(("encoding", "head"), [("webm_opus", VOID), ("mp3", ID3), ("flac", ID3), ("wav", CHUNK)])
def test_a_container_that_brings_no_sound_is_refused(tmp_path, encoding, head):
    """Padding, tags and unknown chunks are passed over up to a bound, whatever size they announce."""
    limits = SessionLimits(resume_window_ms=60_000)
    with live_server(ScriptedEngine(WORDS), WORDS, limits=limits, logs=tmp_path) as running:
        messages, code = flood(running.url, [start(encoding), head], bytes(1 << 19), 128)
        assert (code, messages[-1]["code"], messages[-1]["field"]) == (1008, "invalid_audio", "audio.encoding")
        assert f"{MAX_WITHOUT_SOUND} bytes" in messages[-1]["message"]
        assert stored(tmp_path) < MAX_WITHOUT_SOUND + (4 << 20)


def test_a_session_that_stored_its_share_is_settled_and_closed(tmp_path):
    """A container, which is kept whole, ends at the limit: what was heard is text, the error says what to do."""
    limits = SessionLimits(resume_window_ms=60_000, max_session_bytes=len(SOUND) + 500_000)
    with live_server(ScriptedEngine(WORDS), WORDS, limits=limits, logs=tmp_path) as running:
        messages, code = flood(running.url, [start("wav"), WAV, SOUND], bytes(50_000), 100)
        assert stored(tmp_path) <= limits.max_session_bytes + 10_000
    assert messages[0]["limits"]["max_session_bytes"] == limits.max_session_bytes
    error = messages[-1]
    assert (code, error["code"], error["field"]) == (4413, "session_too_large", "max_session_bytes")
    assert error["limit"] == limits.max_session_bytes
    assert "Open a new one" in error["message"]
    finals = " ".join(message["text"] for message in messages if message["type"] == "caption.final")
    assert finals.split() == [word.text.strip() for word in WORDS]
    log = tmp_path / messages[0]["session"] / "events.jsonl"
    assert replay(log.read_text(encoding="utf-8").splitlines(keepends=True)).identical


def test_the_log_counts_too(tmp_path):
    """Pings keep a session open, and each is a line of its log: they end at the same limit."""
    limits = SessionLimits(resume_window_ms=60_000, max_session_bytes=100_000)
    with live_server(ScriptedEngine(WORDS), WORDS, limits=limits, logs=tmp_path) as running:
        messages, code = flood(running.url, [START], json.dumps({"type": "ping", "id": "x" * 50}), 20_000)
        assert (code, messages[-1]["code"]) == (4413, "session_too_large")
        assert stored(tmp_path) < 1 << 20


def test_raw_samples_that_are_settled_count_no_more(tmp_path):
    """Of raw samples only what is still needed is held, so a session may send more than it may store."""
    limits = SessionLimits(resume_window_ms=60_000, max_session_bytes=3_000_000)
    frames = [SOUND, *[bytes(64_000)] * 120]
    lane = live_server(ScriptedEngine(WORDS), WORDS, limits=limits, logs=tmp_path)
    with lane as running, connect(running.url) as client:
        client.send(json.dumps(START))
        for number, frame in enumerate(frames):
            client.send(frame)
            client.send(json.dumps({"type": "ping", "id": str(number)}))
            while json.loads(client.recv(timeout=10))["type"] != "pong":
                pass
        client.send(json.dumps({"type": "session.finish"}))
        read_all(client)
        assert client.close_code == 1000
    assert sum(map(len, frames)) > 2 * limits.max_session_bytes


def test_no_session_begins_on_a_full_disk(tmp_path, monkeypatch):
    """It is refused with an error that may be retried, and nothing of it stays."""
    monkeypatch.setattr("speechlane.storage.folder.MIN_FREE_BYTES", 1 << 62)
    room = DataFolder(tmp_path).check_room
    with live_server(ScriptedEngine(WORDS), WORDS, logs=tmp_path / "live", check_room=room) as running:
        messages, code = converse(running.url, [START])
    (refusal,) = messages
    assert (code, refusal["code"], refusal["field"], refusal["retryable"]) == (4429, "disk_full", "data", True)
    assert "Make room" in refusal["message"]
    assert stored(tmp_path) == 0
    with pytest.raises(StorageFailed):
        room()
