"""The synthesis plan: which rows to blend and how far. Row numbers and steps, never pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.errors import LeakageError

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class SynthesisPlan:
    """What a sampler decides about a training set of n rows.

    Attributes
    ----------
    base : (m,) int64 array
        The row that starts each synthetic row.
    partner : (m,) int64 array
        The row it moves towards.
    step : (m,) float32 array
        How far: 0 = base, 1 = partner.
    label : (m,) array
        Its class (Mixup: soft, (m, classes)).
    keep : (k,) int64 array
        The original rows that stay, in order.
    seed : (m,) int64 array, optional
        For samplers that draw more than a step a row.
    """

    base: NDArray[np.int64]
    partner: NDArray[np.int64]
    step: NDArray[np.float32]
    label: Array
    keep: NDArray[np.int64]
    seed: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        """Count the synthetic rows."""
        return len(self.base)

    def rows(self, X: Array) -> Array:
        """Make all synthetic rows.

        Parameters
        ----------
        X : (n, ...) array
            The training rows the plan was made for, in any space and of any number of dimensions.

        Returns
        -------
        (m, ...) array
            In plan order, of X's dtype; integers are rounded, not truncated.
        """
        made = np.empty((len(self), *X.shape[1:]), X.dtype)
        for start in range(0, len(self), 64):
            piece = slice(start, start + 64)
            blend(X, self.base[piece], self.partner[piece], self.step[piece], made[piece])
        return made

    def batches(self, X: Array, size: int = 64) -> Iterator[Array]:
        """Stream the synthetic rows, in plan order.

        Yields
        ------
        (≤ size, ...) array
            One buffer, reused: copy what must outlive the next batch.
        """
        buffer = np.empty((min(size, len(self)), *X.shape[1:]), X.dtype)
        for start in range(0, len(self), size):
            piece = slice(start, start + size)
            out = buffer[: len(self.base[piece])]
            blend(X, self.base[piece], self.partner[piece], self.step[piece], out)
            yield out

    def view(self, X: Array) -> PlannedRows:
        """See ``X[keep]`` followed by the synthetic rows as one array whose rows are made when asked for."""
        return PlannedRows(self, X)

    def balanced(self, X: Array) -> Array:
        """``X[keep]`` followed by the synthetic rows, in one new array."""
        whole = np.empty((len(self.keep) + len(self), *X.shape[1:]), X.dtype)
        np.take(X, self.keep, axis=0, out=whole[: len(self.keep)], mode="clip")
        for start in range(0, len(self), 64):
            piece = slice(start, start + 64)
            out = whole[len(self.keep) :][piece]
            blend(X, self.base[piece], self.partner[piece], self.step[piece], out)
        return whole

    def labels(self, y: Array) -> Array:
        """``y[keep]`` followed by the synthetic rows' labels."""
        return np.concatenate([y[self.keep], self.label])

    def parents(self) -> NDArray[np.int64]:
        """List every row that a synthetic row comes from, each once, ascending."""
        return np.union1d(self.base, self.partner)

    def check(self, train_rows: NDArray[np.int64] | int) -> int:
        """Count the parents, and the kept rows, that are not training rows; there must be none.

        Parameters
        ----------
        train_rows : int or int64 array
            The number of training rows (a plan numbers them 0 … n − 1), or the rows allowed.

        Raises
        ------
        LeakageError
            If there is one.
        """
        allowed = np.arange(train_rows) if isinstance(train_rows, int) else train_rows
        outside = np.setdiff1d(np.concatenate([self.base, self.partner, self.keep]), allowed)
        if len(outside):
            raise LeakageError(f"{len(outside)} row(s) of a synthesis plan are not in the training fold")
        return 0


class PlannedRows:
    """A balanced training set that is read like an array; its synthetic rows exist only in what is read.

    Parameters
    ----------
    plan : SynthesisPlan
    X : (n, ...) array
        The training rows.
    """

    def __init__(self, plan: SynthesisPlan, X: Array) -> None:
        self.plan, self.X = plan, X
        self.shape = (len(plan.keep) + len(plan), *X.shape[1:])
        self.dtype = X.dtype
        self.ndim = X.ndim

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, index: Any) -> Array:
        if np.ndim(index) == 0 and not isinstance(index, slice):
            return self[np.asarray([index])][0]
        wanted = np.arange(len(self))[index]
        plan, kept = self.plan, len(self.plan.keep)
        found = np.empty((len(wanted), *self.shape[1:]), self.dtype)
        real = wanted < kept
        found[real] = self.X[plan.keep[wanted[real]]]
        made = wanted[~real] - kept
        if len(made):
            out = np.empty((len(made), *self.shape[1:]), self.dtype)
            blend(self.X, plan.base[made], plan.partner[made], plan.step[made], out)
            found[~real] = out
        return found


def blend(
    X: Array, base: NDArray[np.int64], partner: NDArray[np.int64], step: NDArray[np.float32], out: Array
) -> None:
    """Write ``X[base] + step (X[partner] − X[base])`` to `out`, integers rounded."""
    weight = step.reshape(-1, *[1] * (X.ndim - 1))
    if np.issubdtype(X.dtype, np.floating):
        start = X[base]
        np.take(X, partner, axis=0, out=out, mode="clip")
        out -= start
        out *= weight.astype(X.dtype, copy=False)
        out += start
        return
    start = X[base].astype(np.float32)
    mixed = X[partner].astype(np.float32)
    mixed -= start
    mixed *= weight
    mixed += start
    np.rint(mixed, out=mixed)
    out[...] = mixed


def no_synthesis(keep: NDArray[np.int64], y: Array) -> SynthesisPlan:
    """Plan to keep some rows and make none."""
    empty = np.empty(0, np.int64)
    return SynthesisPlan(empty, empty, np.empty(0, np.float32), y[:0], keep)
