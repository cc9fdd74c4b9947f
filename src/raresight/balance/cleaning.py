"""Samplers that take rows away: edited nearest neighbours, Tomek links, neighbourhood cleaning."""

from __future__ import annotations

import numbers
from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval, StrOptions

from raresight.balance.base import CLEAN, PlanSampler
from raresight.balance.features import UnusableRowsError
from raresight.balance.interpolation import NEIGHBOUR_COUNT, count_of
from raresight.balance.neighbours import METRICS, Gram, Neighbourhood
from raresight.balance.plan import SynthesisPlan, no_synthesis
from raresight.balance.reference import Reference

Array = NDArray[Any]
Rows = NDArray[np.int64]

_KINDS = StrOptions({"all", "mode"})


class Cleaner(PlanSampler):
    """Base of the cleaning samplers: they say in `_kept` which rows stay.

    Parameters
    ----------
    sampling_strategy : str, list or callable
        The classes that are cleaned, as in imbalanced-learn.
    metric : {"euclidean", "cosine"}
    compatible : bool
        What imbalanced-learn 0.14 does instead: with copies among the rows, a row may be its own neighbour.
    """

    distances = True

    _sampling_type = "clean-sampling"
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **CLEAN,
        "metric": [StrOptions(set(METRICS))],
        "compatible": ["boolean"],
    }

    def __init__(
        self, *, sampling_strategy: Any = "auto", metric: str = "euclidean", compatible: bool = False
    ) -> None:
        self.sampling_strategy = sampling_strategy
        self.metric = metric
        self.compatible = compatible

    @abstractmethod
    def _kept(self, near: Neighbourhood, y: Array) -> Rows:
        """Give the rows that stay."""

    def clean(self, near: Neighbourhood, y: Array) -> Rows:
        """Give the rows that stay, from whatever finds neighbours among them.

        Parameters
        ----------
        near : Neighbourhood
        y : (n,) array

        Returns
        -------
        int64 array
        """
        self.sampling_strategy_ = self._strategy(y)
        return self._kept(near, y)

    def neighbourhood(self, Z: Array, gram: Gram | None) -> Neighbourhood:
        """Give what finds neighbours among the rows of Z."""
        if self.compatible:
            return Reference(Z, metric=self.metric)
        return Gram.of(Z, metric=self.metric) if gram is None else gram

    def _decide(self, Z: Array, y: Array, gram: Gram | None) -> SynthesisPlan:
        return no_synthesis(self._kept(self._own(self.neighbourhood(Z, gram), Z), y), y)

    def _own(self, near: Neighbourhood, Z: Array) -> Neighbourhood:
        """Put in the user's own finder, if there is one."""
        option = getattr(self, "n_neighbors", 1)
        return near if isinstance(option, numbers.Integral) else Reference(Z, option)

    def _fit_resample(self, X: Array, y: Array, **params: Any) -> tuple[Any, Array]:
        resampled = super()._fit_resample(X, y, **params)
        self.sample_indices_ = self._last
        return resampled

    def _plan(self, Z: Array, y: Array, groups: Array | None, gram: Gram | None) -> SynthesisPlan:
        plan = super()._plan(Z, y, groups, gram)
        self._last = plan.keep
        return plan

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.sampler_tags.sample_indices = True
        return tags


class EditedNearestNeighbours(Cleaner):
    """Take away rows whose neighbours are of another class.

    The rows kept are imbalanced-learn's, in its order: class after class.

    Source: Wilson, "Asymptotic properties of nearest neighbor rules using edited data", IEEE Trans. Systems,
    Man, and Cybernetics 2 (1972), 408–421.

    Parameters
    ----------
    sampling_strategy, metric, compatible
        See `Cleaner`.
    n_neighbors : int or estimator
    kind_sel : {"all", "mode"}
        Whether all neighbours must be of the row's class for it to stay, or most of them.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **Cleaner._parameter_constraints,
        "n_neighbors": NEIGHBOUR_COUNT,
        "kind_sel": [_KINDS],
    }

    def __init__(
        self,
        *,
        sampling_strategy: Any = "auto",
        n_neighbors: Any = 3,
        kind_sel: str = "all",
        metric: str = "euclidean",
        compatible: bool = False,
    ) -> None:
        super().__init__(sampling_strategy=sampling_strategy, metric=metric, compatible=compatible)
        self.n_neighbors = n_neighbors
        self.kind_sel = kind_sel

    def _kept(self, near: Neighbourhood, y: Array) -> Rows:
        kept = []
        for label in np.unique(y):
            members = np.flatnonzero(y == label)
            if label in self.sampling_strategy_:
                around = y[_around(near, members, y, self.n_neighbors, self)]
                members = members[agreeing(around, label, self.kind_sel)]
            kept.append(members)
        return np.concatenate(kept)


class TomekLinks(Cleaner):
    """Take away rows that are each other's nearest neighbour with a row of another class.

    The rows kept are imbalanced-learn's.

    Source: Tomek, "Two modifications of CNN", IEEE Trans. Systems, Man, and Cybernetics 6 (1976), 769–772.

    Parameters
    ----------
    sampling_strategy, metric, compatible
        See `Cleaner`.
    """

    def _kept(self, near: Neighbourhood, y: Array) -> Rows:
        every = np.arange(len(y))
        nearest = _around(near, every, y, 1, self)[:, 0]
        linked = (nearest[nearest] == every) & (y[nearest] != y)
        linked &= np.isin(y, list(self.sampling_strategy_))
        return np.flatnonzero(~linked)


class NeighbourhoodCleaningRule(Cleaner):
    """Edited nearest neighbours, and away with the rows that make rows of the smallest class look foreign.

    Source: Laurikkala, "Improving identification of difficult small classes by balancing class
    distribution", AIME 2001, 63–66. imbalanced-learn lets a row vote on itself (``compatible=True``).

    Parameters
    ----------
    sampling_strategy, metric, compatible
        See `Cleaner`.
    n_neighbors : int
    threshold_cleaning : float
        Above 0; classes with more rows than this times the smallest class's are cleaned in the second step.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **Cleaner._parameter_constraints,
        "n_neighbors": NEIGHBOUR_COUNT[:1],
        "threshold_cleaning": [Interval(numbers.Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        *,
        sampling_strategy: Any = "auto",
        n_neighbors: int = 3,
        threshold_cleaning: float = 0.5,
        metric: str = "euclidean",
        compatible: bool = False,
    ) -> None:
        super().__init__(sampling_strategy=sampling_strategy, metric=metric, compatible=compatible)
        self.n_neighbors = n_neighbors
        self.threshold_cleaning = threshold_cleaning

    def _kept(self, near: Neighbourhood, y: Array) -> Rows:
        labels, counts = np.unique(y, return_counts=True)
        smallest = labels[counts.argmin()]
        large = labels[counts > counts.min() * self.threshold_cleaning]
        cleaned = [c for c in large if c in self.sampling_strategy_]
        editor = EditedNearestNeighbours(
            sampling_strategy=list(self.sampling_strategy_), n_neighbors=self.n_neighbors, kind_sel="mode"
        )
        stays = np.zeros(len(y), bool)
        stays[editor.clean(near, y)] = True
        members = np.flatnonzero(y == smallest)
        around = _around(near, members, y, self.n_neighbors, self)
        votes = np.c_[members, around[:, :-1]] if self.compatible else around
        foreign = around[~agreeing(y[votes], smallest, "mode")].ravel()
        stays[foreign[np.isin(y[foreign], cleaned)]] = False
        return np.flatnonzero(stays)


def agreeing(around: Array, label: Any, kind: str) -> NDArray[np.bool_]:
    """Tell which rows' neighbours, (rows, k) labels, agree on a label: all, or most of them.

    Where labels are equally frequent the first in sorted order wins, as with ``scipy.stats.mode``.
    """
    if kind == "all":
        return np.asarray((around == label).all(axis=1))
    labels = np.unique(around)
    votes = np.stack([(around == other).sum(axis=1) for other in labels], axis=1)
    return np.asarray(labels[votes.argmax(axis=1)] == label)


def _around(near: Neighbourhood, rows: Rows, y: Array, option: Any, sampler: Cleaner) -> Rows:
    k = count_of(option)
    if k >= len(y):
        raise UnusableRowsError(
            f"{type(sampler).__name__} looks at {k} neighbours, and there are {len(y)} training rows; "
            f"use n_neighbors={max(1, len(y) - 1)} or less"
        )
    return near.nearest(rows, np.arange(len(y)), k)
