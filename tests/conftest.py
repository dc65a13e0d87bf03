"""Fixtures that several rooms share, and the rule that every test module has one category."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

CATEGORIES = {"unit", "properties", "replay", "conformance", "integration", "acceptance", "architecture"}
REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test without exactly one category, or without a stated rule, fails collection."""
    for item in items:
        categories = {mark.name for mark in item.iter_markers()} & CATEGORIES
        if len(categories) != 1:
            message = f"{item.nodeid}: give its module exactly one category mark of {sorted(CATEGORIES)}"
            raise pytest.UsageError(message)
        function = getattr(item, "function", None)
        if function is not None and not (function.__doc__ or "").strip():
            message = f"{item.nodeid}: state the rule it holds in a docstring"
            raise pytest.UsageError(message)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of real speech beside the checkout; the test is skipped where it is not there."""
    folder = Path(os.environ.get("SPEECHLANE_CORPUS", REPOSITORY.parent / "shared" / "corpus"))
    if not (folder / "manifest.jsonl").is_file():
        pytest.skip("no corpus beside the checkout")
    return folder


@pytest.fixture(scope="session")
def tiny_en() -> Path:
    """The folder of tiny.en in the user's store, its files verified; pulled first where it is not there."""
    from speechlane.local.pins import find_pin
    from speechlane.local.pull import pull
    from speechlane.settings import load_settings

    return pull(find_pin("tiny.en"), load_settings().models).folder.path
