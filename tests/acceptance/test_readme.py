"""The README's examples work as they are printed, against a server started as it says."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from speechlane.samples import sample

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

PRINTED = "127.0.0.1:8700"
PHRASE = "what your country can do for you"


@pytest.fixture(scope="module")
def readme(repository) -> str:
    return (repository / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def address(tiny_en, tmp_path_factory):
    """Host and port of a server with embedded defaults."""
    folder = tmp_path_factory.mktemp("readme")
    kept = {name: text for name, text in os.environ.items() if not name.startswith("SPEECHLANE_")}
    program = [sys.executable, "-c", "from speechlane.cli import main; main()"]
    server = subprocess.Popen(
        [*program, "serve", "--port", "0", "--data", str(folder / "data")],
        env=kept, cwd=folder, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    yield server.stdout.readline().removeprefix("ready http://").strip()
    server.send_signal(signal.SIGTERM)
    server.communicate(timeout=60)


def example(readme: str, name: str) -> str:
    """The code block behind the example's mark."""
    return re.search(rf"<!-- example: {re.escape(name)} -->\n```\w+\n(.*?)```", readme, re.DOTALL)[1]


def words(text: str) -> str:
    return " ".join(re.findall(r"[a-z']+", text.lower()))


def test_the_live_example_prints_captions(readme, address, tmp_path):
    """The Python program, run beside a talk.wav, prints what was said."""
    shutil.copy(str(sample("jfk.wav")), tmp_path / "talk.wav")
    (tmp_path / "live.py").write_text(example(readme, "live.py").replace(PRINTED, address))
    done = subprocess.run([sys.executable, "live.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert words(done.stdout).count(PHRASE) == 1


def test_the_curl_examples_post_and_fetch(readme, address, tmp_path):
    """The commands post a recording, and fetch its transcript, manifest and records."""
    if shutil.which("curl") is None:
        pytest.skip("no curl")
    shutil.copy(str(sample("jfk.wav")), tmp_path / "talk.wav")

    def shell(command: str) -> str:
        done = subprocess.run(
            ["sh", "-c", command.replace(PRINTED, address)], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout

    job = json.loads(shell(example(readme, "jobs.sh")))
    state, transcript, manifest, chunks = (
        line.replace("ID", job["id"]) for line in example(readme, "fetch.sh").splitlines()
    )
    while json.loads(shell(state))["state"] in {"queued", "processing"}:
        shell("sleep 0.5")  # asking without a pause would take the time from the job
    assert json.loads(shell(state))["state"] == "succeeded"
    assert shell(transcript).startswith("WEBVTT")
    assert json.loads(shell(manifest))["job"] == job["id"]
    assert [record["job"] for record in json.loads(shell(chunks))["chunks"]] == [job["id"]]


def test_every_link_leads_somewhere(readme, repository):
    """Links and pictures name files of the checkout."""
    targets = re.findall(r"\]\(([^)#:]+)\)", readme)
    assert targets
    assert [target for target in targets if not (repository / target).exists()] == []


def test_what_the_readme_runs_is_there(readme, repository):
    """Targets of make, commands of the program and scripts that it names exist."""
    makefile = Path(repository / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"\bmake (\w+)", readme)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for script in re.findall(r"scripts/\w+\.\w+", readme):
        assert (repository / script).is_file(), script
