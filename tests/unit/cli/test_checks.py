"""Doctor's checks: what is found on healthy and on broken machines."""

from __future__ import annotations

import json
import socket
import sys
import types

import pytest
from click.testing import CliRunner

from speechlane.cli import program
from speechlane.cli.checks import data_folder, diarization_models, gpu, library, microphone, port, run_checks, weights
from speechlane.settings import Settings

pytestmark = pytest.mark.unit


def test_a_library_that_cannot_be_imported_is_missing():
    """Found is the version; a module that is not there is missing, with the command that mends it."""
    assert library("click", "click").status == "ok"
    lost = library("nowhere", "no_such_module_anywhere")
    assert (lost.status, lost.mend) == ("missing", "make setup")


def test_weights_that_are_not_there_name_the_pull(tmp_path):
    """An empty store is mended by a pull of the model that the settings name."""
    check = weights(Settings(models=tmp_path))
    assert (check.status, check.mend) == ("missing", "speechlane models pull tiny.en")
    assert weights(Settings(models=tmp_path, model="tiny.enn")).mend == "speechlane models list"


def test_weights_with_a_wrong_digest_are_missing(tmp_path):
    """A file that is there but not the pinned one does not count."""
    from speechlane.local.pins import find_pin
    from speechlane.local.weights import folder_of

    pin = find_pin("tiny.en")
    folder = folder_of(pin, tmp_path)
    folder.mkdir(parents=True)
    for file in pin.files:
        (folder / file.name).write_bytes(b"not it")
    check = weights(Settings(models=tmp_path))
    assert check.status == "missing"
    assert "has sha256" in check.found


def test_the_diarizers_models_are_checked_by_digest(tmp_path, monkeypatch):
    """They come with the checkout; a changed or absent one is missing."""
    assert diarization_models().status == "ok"
    monkeypatch.setattr("speechlane.local.resources.models_folder", lambda: tmp_path)
    assert diarization_models().status == "missing"
    (tmp_path / "diarization").mkdir()
    (tmp_path / "diarization" / "manifest.toml").write_text(f'[embedding]\nfile = "a.onnx"\nsha256 = "{"0" * 64}"\n')
    assert "a.onnx" in diarization_models().found


def test_a_data_folder_may_still_have_to_be_made(tmp_path, monkeypatch):
    """The nearest folder that exists decides; a file in the way or a full disk is told."""
    assert data_folder(tmp_path / "a" / "b").status == "ok"
    (tmp_path / "file").write_text("")
    assert data_folder(tmp_path / "file" / "b").status == "missing"
    monkeypatch.setattr("shutil.disk_usage", lambda _: types.SimpleNamespace(free=1 << 20))
    full = data_folder(tmp_path)
    assert (full.status, full.mend) == ("missing", "speechlane serve --data DIR")


def test_a_taken_port_does_not_stand_in_the_way():
    """It may be a server that runs already, and another port mends it."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = port("127.0.0.1", holder.getsockname()[1])
    assert (taken.status, taken.mend) == ("optional", "speechlane serve --port 0")
    assert port("127.0.0.1", 0).status == "ok"


def test_a_gpu_is_needed_only_where_the_settings_say_so(monkeypatch):
    """Without a CUDA device the CPU serves, unless the device is set to cuda."""
    monkeypatch.setitem(sys.modules, "ctranslate2", types.SimpleNamespace(get_cuda_device_count=lambda: 0))
    assert gpu(needed=False).status == "optional"
    assert gpu(needed=True).status == "missing"
    monkeypatch.setitem(sys.modules, "ctranslate2", types.SimpleNamespace(get_cuda_device_count=lambda: 2))
    assert (gpu(needed=True).status, gpu(needed=True).found) == ("ok", "2 CUDA devices")


def test_the_microphone_is_optional(monkeypatch):
    """Without sounddevice everything but --mic works."""
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    check = microphone()
    assert check.status == "optional"
    assert "pip install sounddevice" in check.mend


def test_an_invalid_configuration_is_a_finding(tmp_path):
    """Doctor tells it and goes on with the defaults."""
    found = {check.name: check for check in run_checks(None, {"SPEECHLANE_PROT": "1"})}
    assert found["configuration"].status == "missing"
    assert "SPEECHLANE_PORT" in found["configuration"].found
    assert "8700" in found["port"].found


@pytest.mark.parametrize("arguments", [["doctor"], ["doctor", "--json"]])
def test_doctor_fails_when_something_needed_is_missing(tmp_path, arguments):
    """Exit code 1, each finding with its status, and the mending command beside what is missing."""
    done = CliRunner().invoke(program, arguments, env={"SPEECHLANE_MODELS": str(tmp_path)})
    assert done.exit_code == 1
    if "--json" in arguments:
        found = {check["name"]: check for check in json.loads(done.stdout)}
        assert found["weights"]["status"] == "missing"
        assert found["weights"]["mend"] == "speechlane models pull tiny.en"
        assert found["python"] == {**found["python"], "status": "ok", "mend": None}
    else:
        assert "mend it with: speechlane models pull tiny.en" in done.stdout
