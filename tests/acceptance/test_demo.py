"""The demo: the main job from end to end, as one JSON object and as a newcomer sees it."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from speechlane.cli.demo_view import DemoView
from speechlane.provenance import GENESIS, ChunkRecord

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

PHRASES = ("ask not what your country can do for you", "ask what you can do for your country")
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("demo") / "data"


@pytest.fixture(scope="module")
def demo(tiny_en, data):
    """One run; every road to the network is closed."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("SPEECHLANE_")}
    closed = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), NOWHERE)
    command = [sys.executable, "-c", "from speechlane.cli import main; main()", "demo", "--json", "--data", str(data)]
    began = time.monotonic()
    done = subprocess.run(
        command, env={**kept, **closed, "NO_PROXY": ""}, capture_output=True, text=True, check=False, timeout=280
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["seconds"] <= time.monotonic() - began
    return {**result, "stderr": done.stderr}


def words(text: str) -> str:
    return " ".join(re.findall(r"[a-z']+", text.lower()))


def test_captions_came_live(demo):
    """Words were shown while the recording still ran, and settled into finals with times in order."""
    live = demo["live"]
    assert 6 < live["first_partial_s"] < 30
    assert live["first_partial_s"] < live["first_final_s"] < live["finished_s"]
    assert live["partials"] > 3
    times = [(final["start_ms"], final["end_ms"]) for final in live["finals"]]
    assert times == sorted(times)
    assert "chicago" in words(" ".join(final["text"] for final in live["finals"]))
    assert 29_900 <= live["duration_ms"] <= 30_100


def test_the_job_tells_two_speakers_apart(demo):
    """The diarized transcript has both speakers in turn, and an error rate against the recording's own turns."""
    transcript = demo["batch"]["transcript"]
    assert sorted(transcript["speakers"]) == ["S1", "S2"]
    by_speaker = dict.fromkeys(transcript["speakers"], "")
    for segment in transcript["segments"]:
        by_speaker[segment["speaker"]] += f" {words(segment['text'])}"
    assert len([text for text in by_speaker.values() if "this is diane" in text]) == 1
    assert len([text for text in by_speaker.values() if "yankee" in text and "diane" not in text]) == 1
    seconds = demo["batch"]["der_seconds"]
    wrong = seconds["missed"] + seconds["false_alarm"] + seconds["confusion"]
    assert demo["batch"]["der"] == pytest.approx(wrong / seconds["speech"])
    assert demo["batch"]["der"] < 0.1


def test_the_clips_words_are_right(demo):
    """Each phrase stands in the text once, and at most one word in ten is wrong."""
    text = words(demo["clip"]["text"])
    assert [text.count(phrase) for phrase in PHRASES] == [1, 1]
    assert demo["wer"] == demo["clip"]["errors"] / demo["clip"]["words"]
    assert demo["wer"] <= 0.1


def test_every_chunk_has_its_record(demo):
    """Records of the session and both jobs, each chained by hash, say engine, versions, pin and locale."""
    chains: dict[str, list[ChunkRecord]] = {}
    for fields in demo["provenance"]:
        record = ChunkRecord.from_fields(fields)
        chains.setdefault(record.session or record.job, []).append(record)
    owners = [demo["live"]["session"], demo["batch"]["job"]["id"], demo["clip"]["job"]["id"]]
    assert list(chains) == owners
    for chain in chains.values():
        assert [record.previous for record in chain] == [GENESIS, *(record.hash for record in chain[:-1])]
        for record in chain:
            assert record.hash == record.expected_hash()
            assert (record.engine, record.model) == ("faster-whisper", "tiny.en")
            assert re.fullmatch(r"[0-9a-f]{40}", record.model_revision)
            assert re.fullmatch(r"[0-9a-f]{64}", record.model_digest)
            assert (record.locale_requested, record.locale_detected) == ("auto", None)
    shown = [record["hash"] for final in demo["live"]["finals"] for record in final["provenance"]]
    assert shown == [record.hash for record in chains[owners[0]]]


def test_the_files_are_there(demo, data):
    """Transcripts, captions and manifests lie in the data folder's demo/, in the formats their names say."""
    files = {Path(path).name: Path(path) for path in demo["files"]}
    assert {path.parent for path in files.values()} == {data / "demo"}
    for name in ("two_speakers", "jfk"):
        assert files[f"{name}.vtt"].read_text().startswith("WEBVTT")
        assert "-->" in files[f"{name}.srt"].read_text()
        assert files[f"{name}.txt"].read_text().startswith("[00:00:0")
        assert json.loads(files[f"{name}.json"].read_text())["segments"]
        assert json.loads(files[f"{name}.manifest.json"].read_text())["engine"]["model"] == "tiny.en"
    assert files["two_speakers.rttm"].read_text() == demo["batch"]["turns"]
    assert files["live.vtt"].read_text().startswith("WEBVTT")
    assert json.loads(files["live.finals.json"].read_text()) == demo["live"]["finals"]


def test_standard_error_tells_the_story_meanwhile(demo):
    """With --json the same is told on standard error, where it does not disturb."""
    for part in ("Live  two_speakers.wav", "Batch  two_speakers.wav", "What made the text", "Files", "done in"):
        assert part in demo["stderr"]


def test_a_narrow_terminal_shows_everything(demo):
    """In 80 columns no figure, digest or file name is cut."""
    console = Console(file=io.StringIO(), width=80, highlight=False)
    view = DemoView(console)
    view.live_figures(demo["live"])
    view.transcript(demo["batch"])
    view.clip(demo["clip"])
    view.provenance(demo["provenance"], demo["batch"]["manifest"], {"tiny.en": ["en"]})
    view.files([Path(path) for path in demo["files"]], Path("nowhere"))
    text = console.file.getvalue()
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    for record in demo["provenance"]:
        assert record["hash"][:8] in text
        assert record["model_digest"] in text
    assert f"diarization error rate {demo['batch']['der']:.1%}" in text
    assert f"word error rate {demo['wer']:.1%}" in text
    assert str(Path(demo["files"][0]).parent) in text.replace("\n", "")
    assert all(Path(path).name in text.replace("\n", "") for path in demo["files"])
    assert "S1  " in text
    assert "auto, en only" in text
