"""Approximate neighbours for sets too large to compare every pair."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.balance.features import width
from raresight.balance.neighbours import OPEN, Barriers, Computed
from raresight.errors import MissingExtraError

Array = NDArray[Any]
Rows = NDArray[np.int64]

ABOVE = 20_000
"""Rows above which ``neighbours="approximate"`` is approximate; up to there the exact search is as fast."""

LINKS, BUILD, SEARCH = 32, 80, 128
RECALL_SAMPLE = 200
ROWS_AT_ONCE = 1024


class Approximate:
    """Neighbours from a hierarchical navigable small-world graph.

    Source: Malkov & Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical
    Navigable Small World graphs", IEEE TPAMI 42 (2020), 824–836, by faiss. Built by one thread, so that the
    same rows give the same graph.

    Parameters
    ----------
    Z : (n, ...) array
    metric : {"euclidean", "cosine"}

    Attributes
    ----------
    recall_ : float
        Share of the exact neighbours that were found, over a sample of 200 rows of the last search.
    """

    def __init__(self, Z: Array, metric: str = "euclidean") -> None:
        self.Z, self.metric = Z, metric
        self.recall_ = float("nan")
        self._index: Any = None
        self._others = np.empty(0, np.int64)

    def nearest(self, rows: Rows, others: Rows, k: int, barriers: Barriers = OPEN) -> Rows:
        """See `Neighbourhood.nearest`; a row whose candidates are all shut out is searched exactly."""
        if not np.array_equal(others, self._others):
            self._build(others)
        found = np.full((len(rows), k), -1, np.int64)
        for start in range(0, len(rows), ROWS_AT_ONCE):
            piece = slice(start, start + ROWS_AT_ONCE)
            found[piece] = self._search(rows[piece], k, barriers)
        short = np.flatnonzero((found < 0).any(axis=1))
        exact = Computed(self.Z, self.metric)
        if len(short):
            found[short] = exact.nearest(rows[short], others, k, barriers)
        self._measure(rows, others, found, exact, barriers)
        return found

    def _build(self, others: Rows) -> None:
        faiss = _faiss()
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)
        try:
            self._centre = self._sample_mean(others)
            self._index = faiss.IndexHNSWFlat(width(self.Z), LINKS)
            self._index.hnsw.efConstruction = BUILD
            self._index.hnsw.efSearch = SEARCH
            for start in range(0, len(others), ROWS_AT_ONCE):
                self._index.add(self._vectors(others[start : start + ROWS_AT_ONCE]))
        finally:
            faiss.omp_set_num_threads(threads)
        self._others = others

    def _search(self, rows: Rows, k: int, barriers: Barriers) -> Rows:
        wanted = min(len(self._others), (4 if barriers else 1) * k + 1)
        _, at = self._index.search(self._vectors(rows), wanted)
        found = np.where(at >= 0, self._others[at], -1)
        found[found == rows[:, None]] = -1
        if barriers:
            for i, row in enumerate(rows):
                found[i, barriers.closed(np.array([row]), found[i])[0]] = -1
        order = np.argsort(found < 0, axis=1, kind="stable")
        kept = np.take_along_axis(found, order, axis=1)[:, :k]
        return np.pad(kept, ((0, 0), (0, k - kept.shape[1])), constant_values=-1)

    def _vectors(self, rows: Rows) -> NDArray[np.float32]:
        vectors = self.Z[rows].reshape(len(rows), -1).astype(np.float32)
        if self.metric == "euclidean":
            return np.asarray(vectors - self._centre)
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.where(length > 0, length, 1))

    def _sample_mean(self, others: Rows) -> NDArray[np.float32]:
        some = others[:: max(1, len(others) // ROWS_AT_ONCE)]
        return np.asarray(self.Z[some].reshape(len(some), -1).mean(axis=0, dtype=np.float64), np.float32)

    def _measure(self, rows: Rows, others: Rows, found: Rows, exact: Computed, barriers: Barriers) -> None:
        some = np.linspace(0, len(rows) - 1, min(RECALL_SAMPLE, len(rows))).astype(np.int64)
        right = exact.nearest(rows[some], others, found.shape[1], barriers)
        hits = [len(set(a[a >= 0]) & set(b[b >= 0])) for a, b in zip(found[some], right, strict=True)]
        self.recall_ = sum(hits) / max(1, int((right >= 0).sum()))


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise MissingExtraError(
            "neighbours=approximate needs faiss; install raresight[train], or choose neighbours=exact"
        ) from error
    return faiss
