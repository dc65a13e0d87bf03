"""The program as its user runs it: a real server, and the commands that talk to it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from speechlane.samples import sample

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

KEY = "the-key-of-tenant-acme-1"
PHRASES = ("ask not what your country can do for you", "ask what you can do for your country")
LONG_AGO = f"ses_{0:024x}"
PROGRAM = [sys.executable, "-c", "from speechlane.cli import main; main()"]


def environment(**more: str) -> dict[str, str]:
    """This environment without settings of its own; a proxy that nobody runs shows any use of one."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("SPEECHLANE_")}
    return {**kept, "HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", "NO_PROXY": "", **more}


def run(*arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, *map(str, arguments)]
    return subprocess.run(command, env=environment(**more), capture_output=True, text=True, check=False, timeout=120)


def words(text: str) -> str:
    return " ".join(re.findall(r"[a-z']+", text.lower()))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The server's data folder, with a session in it that ended years ago."""
    folder = tmp_path_factory.mktemp("served") / "data"
    log = folder / "live" / LONG_AGO / "events.jsonl"
    log.parent.mkdir(parents=True)
    log.write_text("log\n", encoding="utf-8")
    os.utime(log, (1, 1))
    return folder


@pytest.fixture(scope="module")
def url(tiny_en, data):
    """A server that wants a key; stopped by SIGTERM, which must end it cleanly."""
    command = [*PROGRAM, "serve", "--port", "0", "--data", str(data)]
    variables = environment(SPEECHLANE_API_KEYS=f"acme={KEY}")
    server = subprocess.Popen(
        command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=data.parent
    )
    ready = server.stdout.readline()
    yield re.fullmatch(r"ready (http://127\.0\.0\.1:\d+)\n", ready)[1]
    server.send_signal(signal.SIGTERM)
    rest, messages = server.communicate(timeout=60)
    assert (server.returncode, rest) == (0, "")
    assert "/v1/live" in messages
    assert "/v1/jobs" in messages
    assert "Traceback" not in messages


@pytest.fixture(scope="module")
def jfk() -> Path:
    return Path(str(sample("jfk.wav")))


@pytest.fixture(scope="module")
def messages(url, jfk):
    """Every message of one live session, as ``--json`` prints them."""
    done = run("live", jfk, "--url", url, "--json", "--speed", 3, SPEECHLANE_KEY=KEY)
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_sessions_of_long_ago_are_deleted(messages, data):
    """The server sweeps at its start; a session of today stays."""
    assert [folder.name for folder in (data / "live").iterdir()] == [messages[0]["session"]]


def test_live_finals_hold_the_speech_once(messages):
    """The finals together are what was said: each phrase in them once."""
    text = words(" ".join(message["text"] for message in messages if message["type"] == "caption.final"))
    assert [text.count(phrase) for phrase in PHRASES] == [1, 1]


def test_live_json_holds_every_message_with_its_time(messages):
    """From session.started to session.finished, durable ones numbered without gaps, times never going back."""
    assert messages[0]["type"] == "session.started"
    assert messages[-1]["type"] == "session.finished"
    numbered = [message["seq"] for message in messages if "seq" in message]
    assert numbered == list(range(1, len(numbered) + 1))
    times = [message["received_s"] for message in messages]
    assert times == sorted(times)
    assert times[0] >= 0
    assert any(message["type"] == "caption.partial" for message in messages)


def test_a_session_replays_to_the_same_messages(messages, data, tmp_path):
    """The event log that the server kept is identical when run again, and a changed one is told."""
    log = data / "live" / messages[0]["session"] / "events.jsonl"
    same = run("replay", log)
    assert (same.returncode, same.stderr) == (0, "")
    assert same.stdout.startswith("identical: ")
    changed = tmp_path / "changed.jsonl"
    changed.write_text(log.read_text().replace("country", "county"))
    other = run("replay", changed)
    assert other.returncode == 1
    assert "different at message" in other.stdout


def test_a_pipe_gets_captions_as_lines(url, jfk):
    """Without a terminal each settled caption is one line with its times; standard error names the session."""
    done = run("live", jfk, "--url", url, "--speed", 20, "--key", KEY)
    assert done.returncode == 0
    assert re.fullmatch(r"session ses_[0-9a-f]{24}\n", done.stderr)
    lines = done.stdout.splitlines()
    assert lines
    assert all(re.match(r"\d\d:\d\d\.\d - \d\d:\d\d\.\d  \S", line) for line in lines)


def test_an_interrupt_settles_what_was_said(url, jfk):
    """Ctrl-C ends the stream, not the session: the last captions still come, and the exit code is 0."""
    command = [*PROGRAM, "live", str(jfk), "--url", url, "--key", KEY, "--json", "--speed", "0.5"]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as client:
        seen = []
        for line in client.stdout:
            seen.append(json.loads(line))
            if seen[-1]["type"] == "caption.partial" and not any(message.get("stop") for message in seen):
                seen[-1]["stop"] = True
                client.send_signal(signal.SIGINT)
    assert client.returncode == 0
    assert seen[-1]["type"] == "session.finished"
    assert seen[-1]["duration_ms"] < 11_000
    assert any(message["type"] == "caption.final" and message["text"] for message in seen)


@pytest.mark.parametrize(
    ("form", "looks"),
    [("txt", r"\[00:00:0"), ("srt", r"1\n00:00:0\d,\d{3} --> "), ("vtt", r"WEBVTT\n"), ("json", r"\{\s*\"schema\"")],
)
def test_transcripts_come_in_every_format(url, jfk, form, looks):
    """The format asked for goes to standard output, progress to standard error."""
    done = run("transcribe", jfk, "--url", url, "--key", KEY, "--format", form)
    assert done.returncode == 0
    assert re.match(looks, done.stdout)
    assert "succeeded" in done.stderr
    assert "jfk.wav" not in done.stdout


def test_a_file_that_fails_does_not_stop_the_others(url, jfk, tmp_path):
    """Files are worked off in order; what failed is told with its reason, and the exit code is 1."""
    text, empty = tmp_path / "no-audio.txt", tmp_path / "empty.wav"
    text.write_text("This is no recording.\n" * 100)
    empty.write_bytes(b"")
    done = run("transcribe", text, jfk, empty, "--url", url, "--key", KEY, "--json")
    assert done.returncode == 1
    first, second, third = (json.loads(line) for line in done.stdout.splitlines())
    assert (first["job"], first["transcript"]) == (None, None)
    assert first["error"]["fault"] == "client"
    assert words(" ".join(segment["text"] for segment in second["transcript"]["segments"])).count(PHRASES[0]) == 1
    assert (second["error"], second["job"]["state"]) == (None, "succeeded")
    assert third["error"]["code"]
    assert f"error: {text}: " in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["live", "JFK"], "401|key"),
        (["live", "JFK", "--key", "not-the-key-of-anyone"], "key"),
        (["transcribe", "JFK", "--key", "not-the-key-of-anyone"], "key"),
        (["live", "JFK", "--key", KEY, "--language", "fr"], "unsupported_language"),
        (["live", "JFK", "--key", KEY, "--language", "klingon!"], "invalid_language"),
        (["transcribe", "JFK", "--key", KEY, "--language", "fr"], "unsupported_language"),
        (["transcribe", "JFK", "--key", KEY, "--model", "base"], "unknown_model"),
        (["live", "README", "--key", KEY], "not_audio"),
    ],
)
def test_what_the_server_refuses_is_told(url, jfk, repository, arguments, said):
    """One line on standard error with the server's reason; exit code 1; nothing on standard output."""
    files = {"JFK": str(jfk), "README": str(repository / "README.md")}
    done = run(*(files.get(argument, argument) for argument in arguments), "--url", url)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(said, done.stderr)
    assert len([line for line in done.stderr.splitlines() if line.startswith("error: ")]) == 1
    assert "Traceback" not in done.stderr


def test_a_second_server_is_told_what_is_taken(url, data, tmp_path):
    """Neither the port nor the data folder is shared; the first server goes on."""
    port = url.rpartition(":")[2]
    taken = run("serve", "--port", port, "--data", tmp_path / "other")
    assert (taken.returncode, taken.stdout) == (1, "")
    assert "[port_in_use]" in taken.stderr
    held = run("serve", "--port", "0", "--data", data)
    assert (held.returncode, held.stdout) == (1, "")
    assert "[data_folder_in_use]" in held.stderr


def test_a_data_folder_that_cannot_be_made_is_told(tmp_path):
    """A file in the way of the data folder is a clear error."""
    (tmp_path / "file").write_text("")
    done = run("serve", "--port", "0", "--data", tmp_path / "file" / "data")
    assert (done.returncode, done.stdout) == (1, "")
    assert "[data_folder_unwritable]" in done.stderr


def test_missing_weights_name_the_pull(tmp_path):
    """A server without its model does not start, and says how to get it."""
    done = run("serve", "--port", "0", "--data", tmp_path / "data", SPEECHLANE_MODELS=str(tmp_path / "empty"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "speechlane models pull tiny.en" in done.stderr
