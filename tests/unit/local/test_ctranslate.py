"""How a machine's cores are shared out between the engine's workers."""

from __future__ import annotations

import pytest

from speechlane.local.ctranslate import shares

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("device", "threads", "workers", "cores", "shared"),
    [
        ("cpu", 0, 0, 1, (1, 1)),
        ("cpu", 0, 0, 2, (1, 2)),
        ("cpu", 0, 0, 4, (1, 4)),
        ("cpu", 0, 0, 8, (2, 4)),
        ("cpu", 0, 0, 32, (4, 8)),
        ("cpu", 2, 0, 2, (2, 1)),
        ("cpu", 0, 1, 8, (8, 1)),
        ("auto", 3, 5, 2, (3, 5)),
        ("cuda", 0, 0, 16, (0, 1)),
        ("cuda", 0, 2, 16, (0, 2)),
    ],
)
def test_what_is_left_open_suits_the_device(device, threads, workers, cores, shared):
    """All cores of a CPU are used and none twice, a GPU has one worker, and what an operator sets stays."""
    assert shares(device, threads, workers, cores) == shared
