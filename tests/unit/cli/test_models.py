"""The models command over a store in a temporary folder."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from speechlane.cli import program
from speechlane.errors import NotFound
from speechlane.local.pins import find_pin
from speechlane.local.weights import folder_of

pytestmark = pytest.mark.unit


@pytest.fixture
def store(tmp_path):
    """A store that holds a damaged tiny.en: right names, wrong bytes."""
    pin = find_pin("tiny.en")
    folder = folder_of(pin, tmp_path)
    folder.mkdir(parents=True)
    for file in pin.files:
        (folder / file.name).write_bytes(b"damaged")
    return tmp_path


def run(store, *arguments):
    return CliRunner().invoke(program, ["models", *arguments], env={"SPEECHLANE_MODELS": str(store)})


def test_list_tells_every_pin_and_where_it_lies(tmp_path):
    """Both forms name the same models; nothing in an empty store has a path."""
    rows = json.loads(run(tmp_path, "list", "--json").stdout)
    assert {"name", "revision", "digest", "path", "languages", "complete"} == set(rows[0])
    assert [row["path"] for row in rows] == [None] * len(rows)
    lines = run(tmp_path, "list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == [row["name"] for row in rows]
    assert "not pulled" in lines[0]


def test_verify_names_each_wrong_file(store):
    """A damaged model fails with its files and the command that mends it; nothing is called ok."""
    done = run(store, "verify")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert "model.bin has sha256" in done.stderr
    assert "speechlane models pull tiny.en" in done.stderr


def test_verify_of_an_empty_store_says_what_to_pull(tmp_path):
    """Nothing to verify is not success."""
    done = run(tmp_path, "verify")
    assert isinstance(done.exception, NotFound)
    assert "speechlane models pull tiny.en" in done.exception.message


def test_an_unknown_name_stops_before_anything_is_pulled(tmp_path):
    """All names are read first, so a misspelt second one leaves no half of the work."""
    done = run(tmp_path, "pull", "tiny.en", "nonesuch")
    assert isinstance(done.exception, NotFound)
    assert list(tmp_path.iterdir()) == []
