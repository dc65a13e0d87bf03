"""The command that an error names can be copied as it stands."""

from __future__ import annotations

import sys

import pytest

from speechlane.local.program import command

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("called", "written"),
    [
        (".venv/bin/speechlane", ".venv/bin/speechlane models pull tiny.en"),
        ("/bin/speechlane", "speechlane models pull tiny.en"),
        ("/usr/lib/pytest/__main__.py", "speechlane models pull tiny.en"),
        ("", "speechlane models pull tiny.en"),
    ],
)
def test_a_command_begins_as_the_program_was_called(monkeypatch, called, written):
    """By its path where the shell would not find it by name; by name on the PATH and inside another program."""
    monkeypatch.setattr(sys, "argv", [called])
    monkeypatch.setattr("speechlane.local.program.shutil.which", lambda _: "/bin/speechlane")
    assert command("models pull tiny.en") == written
