"""Which voice prints are one person's: agglomerative clustering with average linkage, in bounded memory. Pure.

The mean distance between the members of two groups is one less the product of the groups' means, where distances are
cosines of prints of length 1. So groups that were found in one stretch of a sound are joined with those of another as if
all had been clustered at once, and the distances of every pair are only kept for a stretch.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

Prints = npt.NDArray[np.float32]
"""(prints, dimensions), each of length 1."""

THRESHOLD = 0.475
"""Cosine distance from which groups are two people. Tuned on composites of other voices than the bench's: 0.45 to 0.5
are alike, 0.4 splits people, 0.55 joins them; on pyannote's sample all of these find its two."""
STRETCH = 2000
"""Prints that are compared with each other at once: their distances take 32 MB, and half that again."""
MOST_GROUPS = 1000
"""Groups of all stretches that are compared with each other; of more, those who speak most. Their distances take 8 MB."""
LEAST_S = 2.0
LEAST_SHARE = 0.1
"""A person speaks for this many seconds, or this share of all speech where that is less; who does not is somebody else."""


def people(prints: Prints, seconds: npt.NDArray[np.float64]) -> Prints:
    """Return a print of each person who speaks, (people, dimensions), the one who speaks most first.

    `prints` are of stretches of speech of so many `seconds`, at least one, in order of time.
    """
    labels = _grouped(prints)
    largest = np.argsort(-np.bincount(labels, weights=seconds), kind="stable")[:MOST_GROUPS]
    kept = np.isin(labels, largest)
    prints, seconds = prints[kept], seconds[kept]
    labels = _joined(prints, np.unique(labels[kept], return_inverse=True)[1])
    spoken = np.bincount(labels, weights=seconds)
    enough = min(LEAST_S, LEAST_SHARE * seconds.sum())
    order = [
        group for group in np.argsort(-spoken, kind="stable") if spoken[group] >= enough or group == spoken.argmax()
    ]
    sums = [(prints[labels == group] * seconds[labels == group, None]).sum(axis=0) for group in order]
    return np.stack([(total / np.linalg.norm(total)).astype(np.float32) for total in sums])


def nearest(prints: Prints, known: Prints) -> npt.NDArray[np.intp]:
    """Return for each print, of any length, the number of the person it is most like."""
    return (prints @ known.T).argmax(axis=1)


def _grouped(prints: Prints) -> npt.NDArray[np.intp]:
    """Cluster the prints of each stretch; return the group of each print, numbered through all stretches."""
    labels = np.zeros(len(prints), dtype=np.intp)
    groups = 0
    for start in range(0, len(prints), STRETCH):
        part = prints[start : start + STRETCH]
        if len(part) > 1:
            distances = np.maximum(1 - part.astype(np.float64) @ part.T, 0)
            tree = linkage(squareform(distances, checks=False), method="average")
            labels[start : start + STRETCH] = fcluster(tree, THRESHOLD, criterion="distance") - 1
        labels[start : start + STRETCH] += groups
        groups = int(labels[start : start + STRETCH].max()) + 1
    return labels


def _joined(prints: Prints, labels: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Join groups, the closest first, while their members are nearer than THRESHOLD in the mean."""
    sizes = np.bincount(labels).astype(np.float64)
    means = np.stack([prints[labels == group].mean(axis=0, dtype=np.float64) for group in range(len(sizes))])
    alike = means @ means.T
    np.fill_diagonal(alike, -np.inf)
    while len(sizes) > 1 and 1 - alike.max() < THRESHOLD:
        kept, gone = sorted(map(int, np.unravel_index(alike.argmax(), alike.shape)))
        means[kept] = (means[kept] * sizes[kept] + means[gone] * sizes[gone]) / (sizes[kept] + sizes[gone])
        sizes[kept] += sizes[gone]
        means, sizes = np.delete(means, gone, axis=0), np.delete(sizes, gone)
        alike = np.delete(np.delete(alike, gone, axis=0), gone, axis=1)
        alike[kept] = alike[:, kept] = means @ means[kept]
        alike[kept, kept] = -np.inf
        labels = np.where(labels == gone, kept, labels - (labels > gone))
    return labels
