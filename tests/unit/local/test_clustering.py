"""From the voices of windows to the speakers of a recording."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from speechlane.diarization import SpeakerBounds
from speechlane.local.clustering import cluster_voices

pytestmark = pytest.mark.unit

UNKNOWN = SpeakerBounds()


def voices(names: str, *, noise: float = 0.0) -> np.ndarray:
    """One embedding a letter: voices of one letter are alike, of different letters unrelated."""
    chance = np.random.default_rng(1)
    vectors = np.eye(32, dtype=np.float32)[[ord(name) - ord("a") for name in names]]
    vectors += noise * chance.standard_normal(vectors.shape).astype(np.float32)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def cluster(
    embeddings: np.ndarray,
    windows: Sequence[int] | None = None,
    *,
    trusted: Sequence[bool] | None = None,
    bounds: SpeakerBounds = UNKNOWN,
    threshold: float = 0.45,
    smallest: int = 1,
) -> str:
    """Labels as letters in order of first appearance."""
    count = len(embeddings)
    labels = cluster_voices(
        embeddings,
        np.array(windows if windows is not None else range(count), dtype=np.int64),
        np.array(trusted if trusted is not None else [True] * count, dtype=np.bool_),
        bounds,
        threshold=threshold,
        smallest=smallest,
    )
    names: dict[int, str] = {}
    return "".join(names.setdefault(int(label), chr(ord("a") + len(names))) for label in labels)


def test_alike_voices_are_one_speaker() -> None:
    """Voices within the threshold are grouped, others are not, in whatever order they come."""
    assert cluster(voices("abacabcc", noise=0.05)) == "abacabcc"


def test_one_voice_and_none() -> None:
    """A single voice is a speaker; no voice, no speaker."""
    assert cluster(voices("a")) == "a"
    assert cluster(np.zeros((0, 32), dtype=np.float32)) == ""


def test_the_threshold_decides() -> None:
    """Two voices at a cosine distance of 0.4 are one speaker under a threshold of 0.45 and two under 0.35."""
    pair = np.array([[1, 0], [0.6, 0.8]], dtype=np.float32)
    assert cluster(pair, threshold=0.45) == "aa"
    assert cluster(pair, threshold=0.35) == "ab"


def test_voices_of_one_window_are_different_people() -> None:
    """Two that sound like one speaker are two when windows hear both: their distance counts as that of strangers."""
    alike = np.array([[1, 0], [0.6, 0.8]] * 4, dtype=np.float32)
    assert cluster(alike) == "aaaaaaaa"
    assert cluster(alike, windows=[0, 0, 1, 1, 2, 2, 3, 3]) == "abababab"


def test_within_a_window_the_best_match_is_taken() -> None:
    """Two voices that are both nearest to one speaker are given to two, so that their likeness in sum is greatest."""
    known = voices("aabb")
    doubtful = np.zeros((2, 32), dtype=np.float32)
    doubtful[0, :2] = 0.8, 0.6
    doubtful[1, :2] = 1.0, 0.0
    untrusted = [True] * 4 + [False] * 2
    assert cluster(np.concatenate([known, doubtful]), windows=[0, 1, 2, 3, 4, 4], trusted=untrusted) == "aabbba"


def test_untrusted_voices_make_no_speakers() -> None:
    """A voice heard too shortly joins the nearest speaker; where no voice is trusted, all count."""
    assert cluster(voices("aab"), trusted=[True, True, False]) == "aaa"
    assert cluster(voices("aab"), trusted=[False] * 3) == "aab"


def test_stray_voices_join_the_nearest() -> None:
    """A group too small to be a speaker is dissolved, unless every group is."""
    assert cluster(voices("aaaab"), smallest=2) == "aaaaa"
    assert cluster(voices("aab"), smallest=5) == "aaa"
    assert cluster(voices("ab"), smallest=5) == "ab"


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        (SpeakerBounds(speakers=1), 1),
        (SpeakerBounds(speakers=2), 2),
        (SpeakerBounds(speakers=3), 3),
        (SpeakerBounds(speakers=5), 5),
        (SpeakerBounds(minimum=2), 3),
        (SpeakerBounds(minimum=4), 4),
        (SpeakerBounds(maximum=2), 2),
        (SpeakerBounds(maximum=9), 3),
        (SpeakerBounds(minimum=1, maximum=3), 3),
        (SpeakerBounds(speakers=99), 12),
    ],
)
def test_bounds_are_kept(bounds: SpeakerBounds, expected: int) -> None:
    """Three voices that are there are merged or split as asked, as far as there are voices."""
    assert len(set(cluster(voices("abcabcabcabc", noise=0.05), bounds=bounds))) == expected


def test_stray_voices_do_not_take_the_places_of_speakers() -> None:
    """Asked for two, a recording of two people and one odd window gives the two people."""
    embeddings = voices("aaaabbbbc")
    embeddings[4:8, 0] = 0.7  # a and b are closer to each other than the stray voice is to either
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    assert cluster(embeddings, bounds=SpeakerBounds(speakers=2), smallest=3)[:8] == "aaaabbbb"
