"""The synthesis plan: which rows to blend and how far. Row numbers and steps, never pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from raresight.balance.laws import Law, Parents, blend
from raresight.errors import LeakageError

if TYPE_CHECKING:
    from raresight.balance.dataset import PlannedDataset

Array = NDArray[Any]
Rows = NDArray[np.int64]

ROWS_AT_ONCE = 64


@dataclass(frozen=True, slots=True, eq=False)
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
        Its class (Mixup: soft, (m, classes), rows adding up to 1).
    keep : (k,) int64 array
        The original rows that stay, in order.
    seed : (m,) int64 array, optional
        For samplers that draw more than a step a row.
    law : Law, optional
        How a row comes of its parents; by default the segment between them.
    classes : (classes,) array, optional
        What the columns of soft labels stand for.
    groups : (n,) array, optional
        The training rows' groups, where known.
    donor : (m, columns) int64 array, optional
        For each nominal column of a table that goes with the images, the row whose value is taken.
    """

    base: Rows
    partner: Rows
    step: NDArray[np.float32]
    label: Array
    keep: Rows
    seed: Rows | None = None
    law: Law | None = None
    classes: Array | None = None
    groups: Array | None = None
    donor: Rows | None = None

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
        self._write_all(X, made)
        return made

    def batches(self, X: Array, size: int = ROWS_AT_ONCE) -> Iterator[Array]:
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
            self.write(X, piece, out)
            yield out

    def write(self, X: Array, index: Any, out: Array) -> None:
        """Write the synthetic rows that a slice or array of their numbers names to `out`."""
        if self.law is None:
            blend(X, self.base[index], self.partner[index], self.step[index], out)
            return
        seed = None if self.seed is None else self.seed[index]
        self.law.write(X, Parents(self.base[index], self.partner[index], self.step[index], seed), index, out)

    def _write_all(self, X: Array, out: Array) -> None:
        for start in range(0, len(self), ROWS_AT_ONCE):
            piece = slice(start, start + ROWS_AT_ONCE)
            self.write(X, piece, out[piece])

    def view(self, X: Array) -> PlannedRows:
        """See ``X[keep]`` followed by the synthetic rows as one array whose rows are made when asked for."""
        return PlannedRows(self, X)

    def balanced(self, X: Array) -> Array:
        """``X[keep]`` followed by the synthetic rows, in one new array."""
        kept = len(self.keep)
        whole = np.empty((kept + len(self), *X.shape[1:]), X.dtype)
        for start in range(0, kept, ROWS_AT_ONCE):
            piece = slice(start, min(start + ROWS_AT_ONCE, kept))
            whole[piece] = X[self.keep[piece]]
        self._write_all(X, whole[kept:])
        return whole

    def dataset(
        self, X: Array, transform: Callable[[Array], Any] | None = None, y: Array | None = None
    ) -> PlannedDataset:
        """Give ``X[keep]`` and the synthetic rows as a torch ``Dataset``.

        Parameters
        ----------
        X : (n, ...) array
        transform : callable, optional
            From a row to what the network sees; by default a tensor of the row.
        y : (n,) array, optional
            With it, items are (row, label).
        """
        from raresight.balance.dataset import PlannedDataset

        return PlannedDataset(self, X, transform, y)

    def labels(self, y: Array) -> Array:
        """``y[keep]`` followed by the synthetic rows' labels; all soft where the synthetic ones are."""
        if self.classes is None:
            return np.concatenate([y[self.keep], self.label])
        real = (y[self.keep][:, None] == self.classes[None, :]).astype(self.label.dtype)
        return np.concatenate([real, self.label])

    def hard_labels(self, y: Array) -> Array:
        """``y[keep]`` followed by each synthetic row's class, or the one with the largest share."""
        if self.classes is None:
            return self.labels(y)
        return np.concatenate([y[self.keep], self.classes[self.label.argmax(axis=1)].astype(y.dtype)])

    def weighted(self, y: Array) -> tuple[Rows, Array, NDArray[np.float64]]:
        """Turn soft labels into hard ones, for detectors that take weights: a row once for each class in it.

        Parameters
        ----------
        y : (n,) array
            The training rows' classes.

        Returns
        -------
        index : (r,) int64 array
            Rows of `view` or `balanced`; a row of two classes stands twice, weighted λ and 1 − λ.
        labels : (r,) array
        weights : (r,) float64 array
            Adding up to one for each row; all one where labels are hard.
        """
        if self.classes is None:
            labels = self.labels(y)
            return np.arange(len(labels)), labels, np.ones(len(labels))
        soft = self.labels(y)
        index, column = np.nonzero(soft)
        return index, self.classes[column].astype(y.dtype), soft[index, column].astype(np.float64)

    def nominal(self, columns: Array) -> Array:
        """Give the synthetic rows' nominal columns: (m, c), each value taken from a row that carries it.

        Parameters
        ----------
        columns : (n, c) array
            The training rows' nominal columns, in the order in which the plan was made.
        """
        if not len(self):
            return columns[:0]
        if self.donor is None:
            raise ValueError("this plan was made without nominal columns; make it with SMOTENC")
        return np.asarray(columns[self.donor, np.arange(columns.shape[1])])

    def parents(self) -> Rows:
        """List every row that a synthetic row comes from, each once, ascending."""
        further = [] if self.law is None else self.law.rows()
        if self.donor is not None:
            further = [*further, self.donor.ravel()]
        return np.unique(np.concatenate([self.base, self.partner, *further]))

    def parent_groups(self) -> tuple[Array, Array] | None:
        """Give the groups of bases and partners, (m,) each; None where groups aren't known."""
        return None if self.groups is None else (self.groups[self.base], self.groups[self.partner])

    def check(self, train_rows: Rows | int) -> int:
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
        allowed = np.arange(train_rows) if isinstance(train_rows, int | np.integer) else train_rows
        outside = np.setdiff1d(np.concatenate([self.parents(), self.keep]), allowed)
        if len(outside):
            raise LeakageError(f"{len(outside)} row(s) of a synthesis plan are not in the training fold")
        return 0

    def save(self, path: str | Path) -> None:
        """Write the plan as Parquet: one row for each row of the balanced set, with its provenance."""
        from raresight.balance.planfile import save_plan

        save_plan(self, Path(path))

    @staticmethod
    def load(path: str | Path) -> SynthesisPlan:
        """Read a plan that `save` wrote.

        Raises
        ------
        DataError
            If the file isn't one.
        """
        from raresight.balance.planfile import load_plan

        return load_plan(Path(path))


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
        self.n_real = len(plan.keep)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, index: Any) -> Array:
        if np.ndim(index) == 0 and not isinstance(index, slice):
            return np.asarray(self[np.asarray([index])][0])
        wanted = np.arange(len(self))[index]
        plan, kept = self.plan, len(self.plan.keep)
        found = np.empty((len(wanted), *self.shape[1:]), self.dtype)
        real = wanted < kept
        if real.all():
            found[...] = self.X[plan.keep[wanted]]
            return found
        if not real.any():
            plan.write(self.X, wanted - kept, found)
            return found
        found[real] = self.X[plan.keep[wanted[real]]]
        made = wanted[~real] - kept
        out = np.empty((len(made), *self.shape[1:]), self.dtype)
        plan.write(self.X, made, out)
        found[~real] = out
        return found


def no_synthesis(keep: Rows, y: Array) -> SynthesisPlan:
    """Plan to keep some rows and make none."""
    empty = np.empty(0, np.int64)
    return SynthesisPlan(empty, empty, np.empty(0, np.float32), y[:0], keep)
