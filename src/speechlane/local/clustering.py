"""From the voices of single windows to the speakers of a recording.

Agglomerative clustering with average linkage on cosine distances. Two local speakers of one window are different
people, whatever their embeddings say: their distance counts as that of strangers, and no two of them are given to one
speaker while there is another to give them to (an optimal assignment per window).

Method: pyannote.audio's clustering of local speakers (Bredin 2023, "pyannote.audio 2.1 speaker diarization pipeline").
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from speechlane.diarization import SpeakerBounds

_STRANGERS = 1.0
"""Cosine distance of unrelated voices."""

Embeddings = NDArray[np.float32]
Labels = NDArray[np.int64]


def cluster_voices(
    embeddings: Embeddings,
    windows: Labels,
    trusted: NDArray[np.bool_],
    bounds: SpeakerBounds,
    *,
    threshold: float,
    smallest: int,
) -> Labels:
    """The speaker, 0, 1, 2 ..., of each voice.

    Args:
        embeddings: shape (n, values), each of length 1.
        windows: shape (n,), the window each voice was heard in, ascending.
        trusted: shape (n,), whether the voice was heard long enough to tell how many speakers there are; when none
            was, all are taken.
        bounds: how many speakers there are, as far as known. Fewer voices than asked give fewer speakers.
        threshold: cosine distance at which two groups of voices are no longer one speaker.
        smallest: voices that make a speaker; smaller groups join the nearest, unless all are smaller.
    """
    if not len(embeddings):
        return np.zeros(0, dtype=np.int64)
    chosen = trusted if trusted.any() else np.ones(len(embeddings), dtype=np.bool_)
    groups = _groups(embeddings[chosen], windows[chosen], bounds, threshold, smallest)
    members = embeddings[chosen]
    centroids = np.stack([members[groups == group].mean(axis=0) for group in range(groups.max() + 1)])
    centroids /= np.maximum(np.linalg.norm(centroids, axis=1, keepdims=True), 1e-12)
    return _assigned(embeddings @ centroids.T, windows)


def _groups(embeddings: Embeddings, windows: Labels, bounds: SpeakerBounds, threshold: float, smallest: int) -> Labels:
    """Group of each voice, -1 for those in groups too small to be a speaker."""
    from scipy.cluster.hierarchy import fcluster, linkage  # noqa: PLC0415 - costs 0.2 s, only for those who diarize

    if len(embeddings) == 1:
        return np.zeros(1, dtype=np.int64)
    tree = linkage(_distances(embeddings, windows), method="average")
    groups = _without_small(fcluster(tree, threshold, criterion="distance"), smallest)
    found = int(groups.max()) + 1
    fewest = bounds.speakers or bounds.minimum or 1
    most = bounds.speakers or bounds.maximum or found
    wanted = max(min(found, most), fewest)
    if wanted == found:
        return groups
    # Stray voices take groups of their own: cut finer until so many groups are big enough.
    for count in range(wanted, len(embeddings) + 1):
        groups = _without_small(fcluster(tree, count, criterion="maxclust"), smallest)
        if groups.max() + 1 == wanted:
            return groups
    return _without_small(fcluster(tree, wanted, criterion="maxclust"), 1)


def _distances(embeddings: Embeddings, windows: Labels) -> NDArray[np.float64]:
    """Cosine distances in SciPy's condensed form, with those of one window's voices raised to that of strangers."""
    from scipy.spatial.distance import pdist  # noqa: PLC0415 - as above

    distances: NDArray[np.float64] = pdist(embeddings, metric="cosine")
    count = len(embeddings)
    for apart in range(1, count):
        first = np.flatnonzero(windows[apart:] == windows[:-apart])
        if not len(first):  # windows ascend: voices further apart share none either
            break
        places = count * first - first * (first + 1) // 2 + apart - 1
        distances[places] = np.maximum(distances[places], _STRANGERS)
    return distances


def _without_small(groups: Labels, smallest: int) -> Labels:
    """Groups numbered from 0, with -1 for those of fewer voices than ``smallest``; the biggest group always stays."""
    sizes = np.bincount(groups)
    kept = np.flatnonzero(sizes >= min(smallest, sizes.max()))
    numbers = np.full(len(sizes), -1, dtype=np.int64)
    numbers[kept] = np.arange(len(kept))
    renumbered: Labels = numbers[groups]
    return renumbered


def _assigned(likeness: NDArray[np.float32], windows: Labels) -> Labels:
    """The speaker of each voice: within a window the best one-to-one match, whoever is left over the likeliest.

    ``likeness``: shape (voices, speakers).
    """
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415 - as above

    speakers: Labels = likeness.argmax(axis=1)
    starts = np.flatnonzero(np.diff(windows, prepend=-1))
    for start, end in zip(starts, [*starts[1:], len(windows)], strict=True):
        voices, matched = linear_sum_assignment(likeness[start:end], maximize=True)
        speakers[start + voices] = matched
    return speakers
