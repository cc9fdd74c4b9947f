"""Inner products that do not fit in memory: a mapped file, filled tile by tile."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.balance.features import check_norms, feature_blocks, width

Array = NDArray[Any]
Rows = NDArray[np.int64]

TILE = 4096
"""Rows and columns that are filled at once."""


def temporary_array(count: int) -> Array:
    """Map a (count, count) float32 array to a file that vanishes with it."""
    with tempfile.TemporaryFile(prefix="raresight-gram-") as stream:
        return np.memmap(stream, np.float32, "w+", shape=(count, count))


def fill_tiles(
    inner: Array,
    Z: Array,
    *,
    rows: Rows | None = None,
    centre: Array | None = None,
    metric: str = "euclidean",
    tile: int = TILE,
) -> None:
    """Write the inner products of centred rows to an array, two tiles' worth in memory at a time.

    Parameters
    ----------
    inner : (n, n) float32 array
        Filled in both triangles.
    Z : (n, ...) array
        May be memory-mapped; each row is read about n / tile times.
    rows : int64 array, optional
        Of these rows only.
    centre : (...) array, optional
        By default the mean row.
    metric : {"euclidean", "cosine"}
        The cosine's rows are not centred.
    tile : int

    Raises
    ------
    DataError
        If a row is not finite.
    """
    chosen = np.arange(len(Z)) if rows is None else rows
    middle = mean_row(Z, chosen) if centre is None and metric == "euclidean" else centre
    for top in range(0, len(chosen), tile):
        upper = chosen[top : top + tile]
        for left in range(0, top + 1, tile):
            other = chosen[left : left + tile]
            products = np.zeros((len(upper), len(other)), np.float32)
            together = upper if left == top else np.concatenate([upper, other])
            for block in feature_blocks(Z, together, np.float32, middle, metric):
                products += block[: len(upper)] @ block[-len(other) :].T
            inner[top : top + len(upper), left : left + len(other)] = products
            inner[left : left + len(other), top : top + len(upper)] = products.T
    check_norms(np.diagonal(inner), rows)


def mean_row(Z: Array, rows: Rows, size: int = 256) -> NDArray[np.float64]:
    """Average some rows of (n, ...), a few at a time."""
    total = np.zeros(width(Z))
    for start in range(0, len(rows), size):
        total += (
            np.asarray(Z[rows[start : start + size]]).reshape(-1, len(total)).sum(axis=0, dtype=np.float64)
        )
    return total / max(1, len(rows))
