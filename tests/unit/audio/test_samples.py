"""Digests of windows: whatever is reused, they are those of the samples themselves."""

import numpy as np
import pytest

from speechlane.audio.samples import WindowDigests, samples_sha256

pytestmark = pytest.mark.unit


def test_the_digest_of_a_window_is_that_of_its_samples():
    """Windows that grow, shrink, stay, move on and come again have the digest that each has alone."""
    sound = np.random.default_rng(1).random(4_000, np.float32)
    digests = WindowDigests()
    for start, end in [(0, 100), (0, 900), (0, 900), (0, 300), (0, 400), (250, 400), (250, 4_000), (0, 400), (0, 0)]:
        window = sound[start:end]
        assert digests.of(start, window) == samples_sha256(window)
    every_other = sound[::2]
    assert digests.of(0, every_other) == samples_sha256(every_other.copy())
