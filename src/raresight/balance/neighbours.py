"""Exact nearest neighbours from one centred float32 Gram matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Rows = NDArray[np.int64]

FEATURES_AT_ONCE = 8192


class Gram:
    """All inner products of a set's rows, from which every distance between them follows.

    Rows are centred first: uncentred float32 distances on nearly constant pixels lose most of their digits.

    Parameters
    ----------
    inner : (n, n) float32 array
        Inner products of the centred rows.
    """

    def __init__(self, inner: NDArray[np.float32]) -> None:
        self.inner = inner
        self.norms = np.ascontiguousarray(np.diagonal(inner))

    @classmethod
    def of(cls, Z: Array, centre: Array | None = None) -> Gram:
        """Compute the Gram matrix of (n, ...) rows, a block of features at a time.

        Parameters
        ----------
        Z : (n, ...) array
        centre : (...) array, optional
            A fixed vector to subtract; by default the mean row.
        """
        flat = Z.reshape(len(Z), -1)
        middle = None if centre is None else centre.reshape(-1)
        inner = np.zeros((len(flat), len(flat)), np.float32)
        for start in range(0, flat.shape[1], FEATURES_AT_ONCE):
            block = flat[:, start : start + FEATURES_AT_ONCE]
            mean = block.mean(axis=0, dtype=np.float64) if middle is None else middle[start : start + block.shape[1]]
            centred = block.astype(np.float32) - mean.astype(np.float32)
            inner += centred @ centred.T
        return cls(inner)

    def take(self, rows: Rows) -> Gram:
        """Give the Gram matrix of some of the rows; nothing is computed again."""
        return Gram(self.inner[np.ix_(rows, rows)])

    def distances(self, rows: Rows, others: Rows) -> NDArray[np.float32]:
        """Squared Euclidean distances, (len(rows), len(others))."""
        squared = self.inner[np.ix_(rows, others)]
        squared *= -2.0
        squared += self.norms[rows][:, None]
        squared += self.norms[others][None, :]
        return np.maximum(squared, 0.0, out=squared)

    def nearest(self, rows: Rows, others: Rows, k: int) -> Rows:
        """Find each row's k nearest among `others`, itself left out by its number.

        Returns
        -------
        (len(rows), k) int64 array
            Row numbers, nearest first; equals in the order of their numbers.
        """
        squared = self.distances(rows, others)
        squared[rows[:, None] == others[None, :]] = np.inf
        found = np.argpartition(squared, min(k, squared.shape[1] - 1), axis=1)[:, :k] if k < squared.shape[1] else (
            np.tile(np.arange(squared.shape[1]), (len(rows), 1))
        )
        found.sort(axis=1)
        order = np.argsort(np.take_along_axis(squared, found, axis=1), axis=1, kind="stable")[:, :k]
        return others[np.take_along_axis(found, order, axis=1)]
