"""Real speech that ships with the program, for the demo and the tests; sources and licences in README.md."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable


def sample(name: str) -> Traversable:
    """The bundled file of that name, e.g. ``jfk.wav``."""
    return files(__name__).joinpath(name)
