"""docs/protocol.md says what this version offers, and the program offers just that."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from speechlane.cli import program
from speechlane.server.app import create_app
from speechlane.server.auth import Authenticator
from speechlane.server.metrics import metrics_router

pytestmark = pytest.mark.architecture


@pytest.fixture(scope="module")
def offered(repository: Path) -> dict[str, str]:
    """The column of what is offered, by the part of the contract."""
    text = (repository / "docs" / "protocol.md").read_text(encoding="utf-8")
    table = text.partition("## What this version offers")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("|")
    ]
    return {row[0]: row[1] for row in rows}


def test_the_calls_named_as_offered_are_the_calls_there_are(offered: dict[str, str]) -> None:
    """Each REST call of the program stands in the contract's list of what is offered, and each one there is real."""
    listed = set(re.findall(r"(GET|POST|PUT|DELETE) (/[^`]+)`", offered["2, calls"]))
    parts = {"jobs": None, "registry": None, "engines": (), "ready": None}  # only wired here, never called
    everyone = Authenticator({})
    doors = [metrics_router(None, everyone)]  # type: ignore[arg-type]
    application = create_app(authenticator=everyone, routers=doors, **parts)  # type: ignore[arg-type]
    paths = application.openapi()["paths"]
    assert {(method.upper(), path) for path, calls in paths.items() for method in calls} == listed


def test_the_commands_named_as_offered_are_the_commands_there_are(offered: dict[str, str]) -> None:
    """Each command of the program stands in the contract's list of what is offered, and each one there is real."""
    listed = set(re.findall(r"`([a-z]+)[^`]*`", offered["5, command line"]))
    assert isinstance(program, click.Group)
    assert set(program.commands) == listed
