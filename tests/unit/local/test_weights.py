"""The store: nothing is used whose sha256 is not the pinned one."""

from __future__ import annotations

import pytest
from model_files import make_toy

from speechlane.errors import DigestMismatch, ModelUnavailable, NotFound, StorageFailed
from speechlane.local.pins import find_pin
from speechlane.local.weights import list_models, open_model, open_pinned

pytestmark = pytest.mark.unit


def test_a_whole_model_opens(tmp_path):
    """The folder is ROOT/NAME/REVISION."""
    toy = make_toy(tmp_path)
    toy.write_to(tmp_path / "store")
    folder = open_pinned(toy.pin, tmp_path / "store")
    assert folder.path == tmp_path / "store" / "toy" / toy.pin.revision
    assert folder.pin is toy.pin


def test_a_changed_file_is_refused_and_named(tmp_path):
    """One flipped bit in one file: the error names file, pinned and found digest, and how to mend it."""
    toy = make_toy(tmp_path)
    path = toy.write_to(tmp_path / "store") / "model.bin"
    content = bytearray(toy.files["model.bin"])
    content[1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(DigestMismatch, match=r"model\.bin has sha256 \w{64}, .*models pull toy") as told:
        open_pinned(toy.pin, tmp_path / "store")
    assert toy.pin.files[1].sha256 in told.value.message
    assert "config.json" not in told.value.message


def test_a_missing_file_is_named_with_the_command_that_brings_it(tmp_path):
    """A store without the model, and one without one of its files, differ only in the files that are named."""
    toy = make_toy(tmp_path)
    with pytest.raises(ModelUnavailable, match=r"no config\.json, model\.bin. Run: speechlane models pull toy"):
        open_pinned(toy.pin, tmp_path / "store")
    (toy.write_to(tmp_path / "store") / "config.json").unlink()
    with pytest.raises(ModelUnavailable, match=r"no config\.json\. Run") as told:
        open_pinned(toy.pin, tmp_path / "store")
    assert told.value.code == "model_missing"


def test_a_file_that_cannot_be_read_is_told_as_such(tmp_path):
    """A folder in a file's place is a fault of the store, not of the model."""
    toy = make_toy(tmp_path)
    path = toy.write_to(tmp_path / "store") / "config.json"
    path.unlink()
    path.mkdir()
    with pytest.raises(StorageFailed, match=r"config\.json cannot be read"):
        open_pinned(toy.pin, tmp_path / "store")


def test_a_model_that_is_not_wholly_pinned_is_not_offered(tmp_path):
    """Even with files in the store; the error names models that can be used instead."""
    toy = make_toy(tmp_path, complete=False)
    toy.write_to(tmp_path / "store")
    with pytest.raises(ModelUnavailable, match="not offered") as told:
        open_pinned(toy.pin, tmp_path / "store")
    assert told.value.code == "incomplete_pin"
    assert "tiny.en" in told.value.limit


def test_an_unknown_name_is_not_looked_for(tmp_path):
    """A name is looked up in the pins, never used as a path."""
    with pytest.raises(NotFound):
        open_model("../toy", tmp_path)


def test_the_list_has_the_fields_of_the_protocol(tmp_path):
    """Every pinned model has a row; ``path`` is there once all its files lie in the store in their sizes."""
    rows = {row.name: row.as_fields() for row in list_models(tmp_path)}
    assert all(set(row) == {"name", "revision", "digest", "path", "languages", "complete"} for row in rows.values())
    assert all(row["path"] is None for row in rows.values())
    assert rows["tiny.en"]["languages"] == ["en"]
    assert rows["tiny.en"]["digest"] == find_pin("tiny.en").digest
    assert not rows["small"]["complete"]
