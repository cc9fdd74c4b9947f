"""Neighbours as imbalanced-learn finds them, for ``compatible=True`` and for estimators given by the user."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.neighbors import NearestNeighbors

from raresight.balance.neighbours import OPEN, Barriers

Array = NDArray[Any]
Rows = NDArray[np.int64]


class Reference:
    """k + 1 neighbours from scikit-learn, the first of which is taken for the row itself.

    With copies among the rows it often isn't: a copy is dropped and the row stays, as its own neighbour.

    Parameters
    ----------
    Z : (n, ...) array
    estimator : object, optional
        With ``fit`` and ``kneighbors``; by default scikit-learn's ``NearestNeighbors``.
    """

    def __init__(self, Z: Array, estimator: Any = None, metric: str = "euclidean") -> None:
        self.flat = Z.reshape(len(Z), -1)
        self.estimator, self.metric = estimator, metric

    def nearest(self, rows: Rows, others: Rows, k: int, barriers: Barriers = OPEN) -> Rows:
        """See `Neighbourhood.nearest`; barriers are imbalanced-learn's, that is, none."""
        finder = NearestNeighbors(n_neighbors=k + 1, metric=self.metric)
        if self.estimator is not None:
            finder = clone(self.estimator)
        finder.fit(self.flat[others])
        at = finder.kneighbors(self.flat[rows], return_distance=False)[:, 1:]
        return np.asarray(others[at])
