"""Learning from a store what its images are like."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.explain.novelty import MARGINS, RATE, Novelty
from raresight.explain.quality import measure_image
from raresight.images.splits import Rows
from raresight.images.store import ImageStore
from raresight.progress import Progress, silent
from raresight.represent.embedding import Embedding

VERSION = 2
"""Of the measures in the cache."""


def fit_novelty(
    store: ImageStore,
    groups: NDArray[Any],
    rows: Rows | None = None,
    *,
    embedding: Embedding | None = None,
    rate: float = RATE,
    seed: int = 0,
    progress: Progress = silent,
) -> Novelty:
    """Learn what a store's images are like, normal and anomalous alike.

    Parameters
    ----------
    store : ImageStore
        Its manifest must still be able to read the images.
    groups : (len(store),) array
        Patient ∪ near-duplicate cluster.
    rows : int64 array, optional
        To learn from; by default all.
    embedding : Embedding, optional
        The space of distances; by default lite0's.
    rate : float
        See `Novelty`; where the patients are too few for it, the smallest that they allow is taken.
    seed : int
    progress : callable, optional
    """
    rows = np.arange(len(store)) if rows is None else rows
    space = embedding or Embedding()
    table = measured(store, progress)[rows]
    measures = [dict(zip(MARGINS, map(float, each), strict=True)) for each in table]
    patients = len(np.unique(groups[rows]))
    return Novelty.fit(
        measures,
        np.asarray(space.whole(store, progress)[rows]),
        groups[rows],
        rate=max(rate, 1 / (patients + 1)),
        seed=seed,
    )


def measured(store: ImageStore, progress: Progress = silent) -> NDArray[np.float64]:
    """Measure every image of a store as it was read: (n, measures), in the order of `MARGINS`."""

    def make() -> NDArray[Any]:
        def one(row: int) -> list[float]:
            found = measure_image(store.manifest.read(row))
            tick(1)
            return [found[name] for name in MARGINS]

        threads = ThreadPoolExecutor(os.cpu_count() or 1)
        with progress("measuring images", len(store)) as tick, threads as pool:
            return np.array(list(pool.map(one, range(len(store)))), np.float64)

    return store.derived(f"quality-{VERSION}", make)
