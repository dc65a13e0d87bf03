"""Model pins: what ships is whole and well-formed, what is malformed is refused by name."""

from __future__ import annotations

import hashlib
import json
import re

import pytest
from model_files import make_toy

from speechlane.errors import ConfigurationInvalid, NotFound
from speechlane.local.pins import find_pin, read_pins
from speechlane.local.resources import models_folder

pytestmark = pytest.mark.unit


def test_the_installation_carries_its_pins():
    """Every file of pins in the models folder is read, tiny.en and base among the offered ones."""
    pins = read_pins()
    assert {pin.name for pin in pins} == {path.stem for path in models_folder().glob("*.toml")}
    assert {"tiny.en", "base"} <= {pin.name for pin in pins if pin.complete}


@pytest.mark.parametrize("pin", read_pins(), ids=lambda pin: pin.name)
def test_an_offered_model_pins_all_that_the_engine_opens(pin):
    """A complete pin has weights, configuration, tokenizer and vocabulary, and a digest; an incomplete one has none."""
    names = {file.name for file in pin.files}
    assert "model.bin" in names
    assert pin.complete == ({"config.json", "tokenizer.json"} < names)
    assert pin.complete == bool({"vocabulary.txt", "vocabulary.json"} & names)
    assert (pin.digest is None) != pin.complete
    assert all(re.fullmatch("[a-z]{2,3}", language) for language in pin.languages)


def test_the_digest_of_a_model_covers_names_and_digests_of_all_files():
    """It is sha256 over the canonical JSON of {file: sha256}, so anyone can compute it from the pins."""
    pin = find_pin("tiny.en")
    text = json.dumps({file.name: file.sha256 for file in pin.files}, sort_keys=True, separators=(",", ":"))
    assert pin.digest == hashlib.sha256(text.encode()).hexdigest()


def test_an_unknown_model_is_told_with_the_known_ones():
    """The error names the nearest name, and all known names as its limit."""
    with pytest.raises(NotFound, match=r"Did you mean tiny\.en\?") as told:
        find_pin("tinyen")
    assert told.value.code == "unknown_model"
    assert told.value.field == "model"
    assert "base" in told.value.limit


@pytest.mark.parametrize(
    ("old", "new", "fact"),
    [
        ('revision = "0123456789abcdef', 'revision = "main', "revision is 'main"),
        ('"config.json" = { sha256 = "', '"config.json" = { sha256 = "x', "sha256 of config.json"),
        ('\n"config.json" = {', '\n"../config.json" = {', "file name is '../config.json'"),
        ("bytes = 14", "bytes = 0", "bytes is 0"),
        ("complete = true", "complete = 1", "complete is neither true nor false"),
        ('licence = "MIT"\n', "", "'licence' is missing"),
        ('licence = "MIT"', 'licence = "MIT"\nmirror = "x"', "unknown key 'mirror'"),
        ('files = { "model.bin" = "toy_part2', 'files = { "other.bin" = "toy_part2', "do not carry exactly"),
        ('name = "toy"', 'name = "toys"', "pins 'toys'"),
        ("[files]", "[files", "no valid pin"),
    ],
)
def test_a_malformed_pin_is_refused_by_file_and_fact(tmp_path, old, new, fact):
    """Nothing is guessed: a branch for a revision, a path for a file name, an unknown key, each is named."""
    path = make_toy(tmp_path).pins / "toy.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigurationInvalid, match=re.escape(fact)) as told:
        read_pins(path.parent)
    assert str(path) in told.value.message
