"""Exact nearest neighbours from centred inner products, computed a block of features at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dsyrk, ssyrk

from raresight.balance.features import check_norms, feature_blocks, width, working_dtype
from raresight.balance.tiles import fill_tiles, temporary_array
from raresight.errors import OptionError

Array = NDArray[Any]
Rows = NDArray[np.int64]

PIECE_BYTES = 1 << 22
"""How much a block of distances may take: small enough for the processor's cache."""

IN_MEMORY = 4 << 30
"""How much a Gram matrix may take of the memory: 32,768 rows."""

METRICS = ("euclidean", "cosine")


@dataclass(frozen=True, slots=True, eq=False)
class Barriers:
    """Which rows may not be neighbours, beside a row of itself.

    Attributes
    ----------
    apart : tuple of (n,) arrays
        Rows with the same entry in one of them are never neighbours: copies, or groups.
    within : (n,) array, optional
        Only rows with the same entry are.
    """

    apart: tuple[Array, ...] = ()
    within: Array | None = None

    def __bool__(self) -> bool:
        return bool(self.apart) or self.within is not None

    def closed(self, rows: Rows, others: Rows) -> NDArray[np.bool_]:
        """Tell which pairs are not allowed, (len(rows), len(others))."""
        shut = np.zeros((len(rows), len(others)), bool)
        for entry in self.apart:
            shut |= entry[rows][:, None] == entry[others][None, :]
        if self.within is not None:
            shut |= self.within[rows][:, None] != self.within[others][None, :]
        return shut


OPEN = Barriers()


class Neighbourhood(Protocol):
    """Whatever finds neighbours among training rows."""

    def nearest(self, rows: Rows, others: Rows, k: int, barriers: Barriers = OPEN) -> Rows:
        """Find each row's k nearest among `others`, itself left out by its number.

        Returns
        -------
        (len(rows), k) int64 array
            Row numbers, nearest first, equals in the order of their numbers; −1 where there are no more.
        """


class Distances(ABC):
    """Neighbours from anything that can compare some rows with others."""

    @abstractmethod
    def keys(self, rows: Rows, others: Rows) -> Array:
        """Give a fresh (len(rows), len(others)) array that sorts each row's others by distance."""

    def nearest(self, rows: Rows, others: Rows, k: int, barriers: Barriers = OPEN) -> Rows:
        """See `Neighbourhood.nearest`; works through the rows a block at a time."""
        found = np.full((len(rows), k), -1, np.int64)
        place = _Places(others)
        for piece in pieces(len(rows), len(others)):
            keys = self.keys(rows[piece], others)
            at, itself = place.of(rows[piece])
            keys[at, itself] = np.inf
            if barriers:
                keys[barriers.closed(rows[piece], others)] = np.inf
            found[piece] = smallest(keys, k, others)
        return found


class _Places:
    """Where rows stand in a list of others."""

    def __init__(self, others: Rows) -> None:
        self.order = np.argsort(others, kind="stable")
        self.sorted = others[self.order]

    def of(self, rows: Rows) -> tuple[Rows, Rows]:
        """Give (which of the rows, where it stands) for those that are there."""
        if not len(self.sorted):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        spot = np.minimum(np.searchsorted(self.sorted, rows), len(self.sorted) - 1)
        there = np.flatnonzero(self.sorted[spot] == rows)
        return there, self.order[spot[there]]


class Gram(Distances):
    """All inner products of a set's rows, from which every distance between them follows.

    Rows are centred first: uncentred float32 distances on nearly constant pixels lose most of their digits.
    (Not for the cosine metric, which is about the origin.)

    Parameters
    ----------
    inner : (n, n) float array
        Inner products of the centred rows; may be memory-mapped.
    index : (r,) int64 array, optional
        The rows of `inner` that are meant; nothing is copied.
    metric : {"euclidean", "cosine"}
    """

    def __init__(self, inner: Array, index: Rows | None = None, metric: str = "euclidean") -> None:
        if metric not in METRICS:
            raise OptionError(f"there is no metric {metric!r}; choose euclidean or cosine")
        # Symmetric, so the transpose is the same matrix; rows are gathered, which wants them contiguous.
        self.inner = inner if inner.flags.c_contiguous else inner.T
        self.index, self.metric = index, metric
        diagonal = np.asarray(np.diagonal(inner))
        self.norms = np.ascontiguousarray(diagonal if index is None else diagonal[index])

    def __len__(self) -> int:
        return len(self.norms)

    @classmethod
    def of(
        cls, Z: Array, centre: Array | None = None, *, rows: Rows | None = None, metric: str = "euclidean"
    ) -> Gram:
        """Compute the Gram matrix of (n, ...) rows, a block of features at a time, in one triangle.

        Parameters
        ----------
        Z : (n, ...) array
            Memory-mapped ones are read once, by blocks of features.
        centre : (...) array, optional
            A fixed vector to subtract; by default the mean row.
        rows : int64 array, optional
            Of these rows only.
        metric : {"euclidean", "cosine"}

        Notes
        -----
        Above `IN_MEMORY` bytes the matrix is in a temporary file (``TMPDIR``), written tile by tile.
        """
        count = len(Z) if rows is None else len(rows)
        if 4 * count * count > IN_MEMORY:
            inner = temporary_array(count)
            fill_tiles(inner, Z, rows=rows, centre=centre, metric=metric)
            return cls(inner, metric=metric)
        kind = working_dtype(count * count * width(Z))
        inner = np.zeros((count, count), kind, order="F")
        add = ssyrk if kind == np.float32 else dsyrk
        for block in feature_blocks(Z, rows, kind, centre, metric):
            inner = add(1.0, block.T, beta=1.0, c=inner, trans=1, lower=1, overwrite_c=1)
        check_norms(np.diagonal(inner), rows)
        _mirror(inner)
        return cls(inner, metric=metric)

    def take(self, rows: Rows) -> Gram:
        """Give the Gram matrix of some of the rows; nothing is computed or copied."""
        return Gram(self.inner, rows if self.index is None else self.index[rows], self.metric)

    def matrix(self, rows: Rows | None = None, others: Rows | None = None) -> Array:
        """Give inner products as a fresh array, (len(rows), len(others)); by default of all rows."""
        rows, others = self._inside(rows), self._inside(others)
        picked = np.take(self.inner, rows, axis=0) if rows is not None else np.array(self.inner)
        return np.asarray(picked if others is None else np.take(picked, others, axis=1))

    def distances(self, rows: Rows, others: Rows) -> Array:
        """Squared Euclidean distances, (len(rows), len(others))."""
        squared = self.matrix(rows, others)
        squared *= -2.0
        squared += self.norms[rows][:, None]
        squared += self.norms[others][None, :]
        return np.asarray(np.maximum(squared, 0.0, out=squared))

    def wide(self, rows: Rows) -> Array:
        """Give whole rows of `inner` as a fresh array; `at` says which of their columns are meant."""
        return np.take(self.inner, self.at(rows), axis=0)

    def at(self, rows: Rows) -> Rows:
        """Give the places of rows in `inner`."""
        return rows if self.index is None else self.index[rows]

    def products(self, rows: Rows, others: Rows) -> Array:
        """Give the inner product of each row with the other at the same place, (len(rows),)."""
        return np.asarray(self.inner[self.at(rows), self.at(others)])

    def between(self, rows: Rows, others: Rows) -> Array:
        """Give the Euclidean distance of each row to the other at the same place, (len(rows),)."""
        squared = self.norms[rows] + self.norms[others] - 2 * self.products(rows, others)
        return np.asarray(np.sqrt(np.maximum(squared, 0)))

    def keys(self, rows: Rows, others: Rows) -> Array:
        """See `Distances.keys`."""
        whole = len(others) == len(self) and np.array_equal(others, np.arange(len(others)))
        return as_keys(self.matrix(rows, None if whole else others), self.norms[others], self.metric)

    def _inside(self, rows: Rows | None) -> Rows | None:
        if self.index is None:
            return rows
        return self.index if rows is None else self.index[rows]


class Computed(Distances):
    """Distances that nobody has computed yet: only those that are asked for, and each once.

    Parameters
    ----------
    Z : (n, ...) array
    metric : {"euclidean", "cosine"}
    """

    def __init__(self, Z: Array, metric: str = "euclidean") -> None:
        self.Z, self.metric = Z, metric
        self._rows = self._columns = np.empty(0, np.int64)
        self._inner = np.empty((0, 0), np.float32)
        self._norms = np.empty(0, np.float32)

    def nearest(self, rows: Rows, others: Rows, k: int, barriers: Barriers = OPEN) -> Rows:
        """See `Neighbourhood.nearest`."""
        if not (np.isin(rows, self._rows).all() and np.isin(others, self._columns).all()):
            self._compute(rows, others)
        return super().nearest(rows, others, k, barriers)

    def keys(self, rows: Rows, others: Rows) -> Array:
        """See `Distances.keys`."""
        picked = np.take(self._inner, _spots(self._rows, rows), axis=0)
        columns = _spots(self._columns, others)
        if len(columns) < len(self._columns) or (np.diff(columns) < 0).any():
            picked = np.take(picked, columns, axis=1)
        return as_keys(picked, self._norms[columns], self.metric)

    def gram(self) -> Gram:
        """Compute all of them."""
        return Gram.of(self.Z, metric=self.metric)

    def _compute(self, rows: Rows, others: Rows) -> None:
        self._rows, self._columns = np.sort(rows), np.sort(others)
        if np.array_equal(self._rows, self._columns):
            gram = Gram.of(self.Z, rows=self._rows, metric=self.metric)
            self._inner, self._norms = gram.inner, gram.norms
            return
        self._inner, self._norms = _products(self.Z, self._rows, self._columns, self.metric)


def _products(Z: Array, rows: Rows, others: Rows, metric: str) -> tuple[Array, Array]:
    """Multiply some rows with others; give the others' squared norms too."""
    together = np.union1d(rows, others)
    left, right = _spots(together, rows), _spots(together, others)
    kind = working_dtype(len(rows) * len(others) * width(Z))
    inner, norms = np.zeros((len(rows), len(others)), kind), np.zeros(len(others), kind)
    product = np.empty_like(inner)
    everything = len(right) == len(together)
    for block in feature_blocks(Z, None if len(together) == len(Z) else together, kind, None, metric):
        columns = block if everything else block[right]
        np.matmul(block[left], columns.T, out=product)
        inner += product
        norms += np.einsum("ij,ij->i", columns, columns)
    check_norms(norms, others)
    return inner, norms


def as_keys(inner: Array, norms: Array, metric: str) -> Array:
    """Turn a fresh array of inner products into what sorts by distance, in place."""
    if metric == "cosine":
        inner /= -np.sqrt(np.where(norms > 0, norms, 1))
        return inner
    inner *= -2
    inner += norms
    return inner


def smallest(keys: Array, k: int, others: Rows) -> Rows:
    """Find the k smallest finite keys of each row, equals in the order of `others`.

    −1 stands where there are no more. `keys` is spoilt.
    """
    found = np.full((len(keys), k), -1, np.int64)
    if not keys.shape[1]:
        return found
    if k > 16:
        order = np.argsort(keys, axis=1, kind="stable")[:, :k]
        good = np.isfinite(np.take_along_axis(keys, order, axis=1))
        found[:, : order.shape[1]] = np.where(good, others[order], -1)
        return found
    each = np.arange(len(keys))
    # For a few neighbours, one vectorised minimum after another beats partitioning by far.
    for column in range(min(k, keys.shape[1])):
        at = keys.argmin(axis=1)
        good = np.isfinite(keys[each, at])
        found[:, column] = np.where(good, others[at], -1)
        keys[each, at] = np.inf
    return found


def pieces(rows: int, columns: int) -> Iterator[slice]:
    """Cut rows into blocks whose distances fit the memory set aside for them."""
    size = max(1, PIECE_BYTES // (4 * max(1, columns)))
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def _spots(where: Rows, rows: Rows) -> Rows:
    """Give the places of rows in a sorted list that has them all."""
    return np.searchsorted(where, rows)


def _mirror(inner: Array, size: int = 512) -> None:
    """Copy the lower triangle to the upper one, tile by tile."""
    for start in range(0, len(inner), size):
        rows = slice(start, start + size)
        inner[rows, start + size :] = inner[start + size :, rows].T
        tile = inner[rows, rows]
        tile[...] = np.tril(tile) + np.tril(tile, -1).T
