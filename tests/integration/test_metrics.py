"""``GET /metrics``: both formats parse, every family moves with what happens, nothing of a client stands in a label."""

from __future__ import annotations

import json

import httpx
import pytest
from live_server import START, converse, live_server, read_all, script
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as prometheus_text
from websockets.sync.client import connect

from speechlane.engine.scripted import ScriptedEngine
from speechlane.engine.scripted_audio import scripted_samples
from speechlane.live.config import SessionLimits

pytestmark = pytest.mark.integration

WORDS = script(18)
AUDIO = scripted_samples(0, WORDS[-1].end + 16_000).tobytes()
KEY = "a-key-long-enough-for-tests"
FINISH = {"type": "session.finish"}


def scrape(url: str, **headers: str) -> dict[str, float]:
    """Each sample by its name and labels."""
    response = httpx.get(url.replace("ws", "http", 1).replace("/v1/live", "/metrics"), headers=headers)
    assert response.status_code == 200
    parse = open_metrics if "openmetrics" in response.headers["content-type"] else prometheus_text
    return {
        sample.name + "".join(f" {label}={value}" for label, value in sorted(sample.labels.items())): sample.value
        for family in parse(response.text)
        for sample in family.samples
    }


@pytest.mark.parametrize("accept", ["text/plain; version=0.0.4", "application/openmetrics-text; version=1.0.0"])
def test_what_a_session_does_is_counted(accept):
    """One session of 18 words: its audio, captions, lags of each word, windows and end stand in the next scrape."""
    model = " engine=scripted model=script"
    with live_server(ScriptedEngine(WORDS), WORDS, max_sessions=1) as running:
        before = scrape(running.url, accept=accept)
        assert before["speechlane_live_finals_total"] == 0
        with connect(running.url) as first:
            first.send(json.dumps(START))
            assert json.loads(first.recv())["type"] == "session.started"
            assert scrape(running.url, accept=accept)["speechlane_live_sessions state=open"] == 1
            assert converse(running.url, [START])[1] == 4429
            first.send(AUDIO[: 4 * WORDS[4].end])
            messages = []
            while not messages or messages[-1]["type"] != "caption.partial":
                messages.append(json.loads(first.recv(timeout=20)))
            first.send(AUDIO[4 * WORDS[4].end :])
            first.send(json.dumps(FINISH))
            messages += read_all(first)
        after = scrape(running.url, accept=accept)
    finals = [message for message in messages if message["type"] == "caption.final"]
    assert after["speechlane_live_sessions_opened_total"] == 1
    assert after["speechlane_live_sessions_refused_total reason=too_many_sessions"] == 1
    assert after["speechlane_live_sessions_closed_total code=1000"] == 1
    assert after["speechlane_live_sessions state=open"] == 0
    assert after["speechlane_live_finals_total"] == len(finals)
    assert after["speechlane_live_partials_total"] > 0
    assert after["speechlane_live_audio_seconds_total"] == pytest.approx(len(AUDIO) / 64_000, abs=0.01)
    assert 0 < after["speechlane_live_speech_seconds_total"] < len(AUDIO) / 64_000
    assert after[f"speechlane_live_word_final_lag_seconds_count{model}"] == len(WORDS)
    assert 0 < after[f"speechlane_live_word_shown_lag_seconds_count{model}"] <= len(WORDS)
    assert after[f"speechlane_engine_batch_size_count{model}"] > 0
    assert sum(value for name, value in after.items() if name.startswith("speechlane_engine_window_seconds_total")) > 8
    assert sum(value for name, value in after.items() if name.startswith("speechlane_engine_queue_seconds_count")) > 3
    assert after[f"speechlane_live_ladder_step{model}"] == 0
    assert after[f"speechlane_engine_windows_in_flight{model} priority=final"] == 0
    assert "default" not in " ".join(after)


def test_metrics_want_a_key_where_there_are_keys():
    """Without the key 401; with it the text format."""
    with live_server(ScriptedEngine(WORDS), WORDS, keys={"acme": KEY}) as running:
        url = running.url.replace("ws", "http", 1).replace("/v1/live", "/metrics")
        assert httpx.get(url).status_code == 401
        answer = httpx.get(url, headers={"authorization": f"Bearer {KEY}"})
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert "acme" not in answer.text


def test_a_session_counts_as_ended_at_its_end(tmp_path):
    """Not when the window is over in which its end may be told again."""
    limits = SessionLimits(resume_window_ms=60_000)
    with live_server(ScriptedEngine(WORDS), WORDS, limits=limits, logs=tmp_path) as running:
        assert converse(running.url, [START, FINISH])[1] == 1000
        assert scrape(running.url)["speechlane_live_sessions_closed_total code=1000"] == 1
