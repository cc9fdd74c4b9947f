"""The common part of SMOTE and its kin: neighbours within a class, and points between them."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from raresight.balance.approximate import ABOVE, Approximate
from raresight.balance.base import PlanSampler
from raresight.balance.copies import copy_classes
from raresight.balance.features import UnusableRowsError
from raresight.balance.laws import Law
from raresight.balance.neighbours import METRICS, OPEN, Barriers, Computed, Gram, Neighbourhood
from raresight.balance.plan import SynthesisPlan
from raresight.balance.reference import Reference
from raresight.errors import OptionError

Array = NDArray[Any]
Rows = NDArray[np.int64]
Random = np.random.RandomState

NEIGHBOUR_COUNT = [
    Interval(numbers.Integral, 1, None, closed="left"),
    HasMethods(["kneighbors", "kneighbors_graph"]),
]


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """The training rows, as an interpolating sampler sees them.

    Attributes
    ----------
    Z : (n, ...) array
    y : (n,) array
    groups : (n,) array or None
    gram : Gram or None
        If it is known already.
    near : Neighbourhood
    """

    Z: Array
    y: Array
    groups: Array | None
    gram: Gram | None
    near: Neighbourhood

    def members(self, label: Any) -> Rows:
        """List a class's rows."""
        return np.flatnonzero(self.y == label)

    @property
    def all(self) -> Rows:
        """List all rows."""
        return np.arange(len(self.y))


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Synthetic rows of one class: where they start, what they move towards, how far."""

    base: Rows
    partner: Rows
    step: Array
    seed: Rows | None = None
    donor: Rows | None = None

    def __len__(self) -> int:
        return len(self.base)


class Interpolator(PlanSampler):
    """Base of the samplers that put rows between rows of a class; subclasses say where in `_between`.

    Parameters
    ----------
    sampling_strategy : float, str, dict or callable
        As in imbalanced-learn.
    random_state : int, RandomState or None
    k_neighbors : int or estimator
        Neighbours to choose a partner from; or, as in imbalanced-learn, an estimator that finds k + 1.
    metric : {"euclidean", "cosine"}
        What near means.
    neighbours : {"exact", "approximate"}
        Approximate above 20,000 rows of a class; its recall is then in ``recall_``.
    distinct : bool
        Rows that are copies of one another are no neighbours. Where a class has nothing but copies, its rows
        are repeated as they are.
    partners : {"any", "other-group", "same-group"}
        Whether a row may be blended with its own group's (patient's) rows.
    compatible : bool
        What imbalanced-learn 0.14 does instead: neighbours may be copies, or with copies the row itself, and
        every class draws the same random numbers.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **PlanSampler._parameter_constraints,
        "k_neighbors": NEIGHBOUR_COUNT,
        "metric": [StrOptions(set(METRICS))],
        "neighbours": [StrOptions({"exact", "approximate"})],
        "distinct": ["boolean"],
        "partners": [StrOptions({"any", "other-group", "same-group"})],
        "compatible": ["boolean"],
    }
    _law: Law | None = None

    def __init__(
        self,
        *,
        sampling_strategy: Any = "auto",
        random_state: Any = None,
        k_neighbors: Any = 5,
        metric: str = "euclidean",
        neighbours: str = "exact",
        distinct: bool = True,
        partners: str = "any",
        compatible: bool = False,
    ) -> None:
        super().__init__(sampling_strategy=sampling_strategy, random_state=random_state)
        self.k_neighbors = k_neighbors
        self.metric = metric
        self.neighbours = neighbours
        self.distinct = distinct
        self.partners = partners
        self.compatible = compatible

    def _between(self, training: Training, label: Any, count: int, random: Random) -> Pairs:
        """Place a class's synthetic rows."""
        raise NotImplementedError

    def _plan(self, Z: Array, y: Array, groups: Array | None, gram: Gram | None) -> SynthesisPlan:
        if self.partners != "any" and groups is None:
            raise OptionError(
                f"partners={self.partners} needs groups; give groups=, on the command line --group COLUMN"
            )
        training = Training(Z, y, groups, gram, self._neighbourhood(Z, gram))
        random = check_random_state(self.random_state)
        parts, labels = [], []
        for label, count in self.sampling_strategy_.items():
            if count:
                parts.append(self._between(training, label, int(count), random))
                labels.append(np.full(len(parts[-1]), label, dtype=y.dtype))
        self._remember(training.near)
        return assemble(parts, labels, training, self._law)

    def _neighbourhood(self, Z: Array, gram: Gram | None) -> Neighbourhood:
        if self.compatible:
            return Reference(Z, metric=self.metric)
        if gram is not None:
            if gram.metric != self.metric:
                raise OptionError(
                    f"the Gram matrix is for metric={gram.metric}, the sampler has {self.metric}"
                )
            return gram
        if self.neighbours == "approximate" and len(Z) > ABOVE:
            return Approximate(Z, self.metric)
        return Computed(Z, self.metric)

    def _remember(self, near: Neighbourhood) -> None:
        if isinstance(near, Approximate):
            self.recall_ = near.recall_

    def _nearest(self, training: Training, rows: Rows, others: Rows, option: str = "k_neighbors") -> Rows:
        """Find possible partners: within the barriers, as many columns as the option says."""
        near, k = finder(training, getattr(self, option))
        return near.nearest(rows, others, k, self._barriers(training, others))

    def _around(self, training: Training, rows: Rows, option: str = "m_neighbors") -> Rows:
        """Find what surrounds rows in the whole set, copies and other groups included."""
        near, k = finder(training, getattr(self, option))
        if k >= len(training.y):
            raise UnusableRowsError(
                f"{type(self).__name__} looks at {option}={k} neighbours, and there are "
                f"{len(training.y)} training rows; use {option}={max(1, len(training.y) - 1)} or less"
            )
        return near.nearest(rows, training.all, k)

    def _barriers(self, training: Training, others: Rows) -> Barriers:
        if self.compatible:
            return OPEN
        apart = []
        if self.distinct:
            copies = self._copies(training, others)
            apart += [] if copies is None else [copies]
        if self.partners == "any" or training.groups is None:
            return Barriers(tuple(apart))
        _, codes = np.unique(training.groups, return_inverse=True)
        if self.partners == "other-group":
            return Barriers((*apart, codes))
        return Barriers(tuple(apart), codes)

    def _copies(self, training: Training, rows: Rows) -> Rows | None:
        """Find rows that are copies of one another."""
        return copy_classes(training.Z, rows)

    def _draw(self, bases: Rows, near: Rows, count: int, random: Random, reach: float = 1.0) -> Pairs:
        """Draw a base, one of its neighbours and a step for each synthetic row."""
        if self.compatible:
            random = check_random_state(self.random_state)
        bases, near, available = self._usable(bases, near)
        drawn = random.randint(low=0, high=near.size, size=count)
        step = reach * random.uniform(size=count)
        row, column = np.divmod(drawn, near.shape[1])
        return Pairs(bases[row], near[row, column % available[row]], step)

    def _usable(self, bases: Rows, near: Rows) -> tuple[Rows, Rows, Rows]:
        """Leave out bases without a neighbour, and count the neighbours of the others."""
        available = (near >= 0).sum(axis=1)
        if available.all():
            return bases, near, available
        if available.any():
            kept = available > 0
            return bases[kept], near[kept], available[kept]
        if self.partners != "any":
            raise UnusableRowsError(
                f"no row has a partner that partners={self.partners} allows; use partners=any"
            )
        # Nothing but copies of one row: there is nothing to blend, so it is repeated.
        return bases, np.repeat(bases[:, None], near.shape[1], axis=1), np.full(len(bases), near.shape[1])

    def _check_size(self, label: Any, members: Rows, option: str = "k_neighbors") -> None:
        wanted = count_of(getattr(self, option))
        if len(members) <= wanted:
            raise UnusableRowsError(self._too_few(label, len(members), wanted, option))

    def _too_few(self, label: Any, count: int, k: int, option: str) -> str:
        name = type(self).__name__
        if count < 2:
            return (
                f"class {label} has {count} training row, and {name} needs two; balance it with random-over"
            )
        return (
            f"class {label} has {count} training rows, too few for {name} with {option}={k}; "
            f"use {option}={count - 1}, for example --balance smote[k_neighbors={count - 1}]"
        )


def count_of(option: Any) -> int:
    """Give the number of neighbours that an option stands for."""
    return int(option) if isinstance(option, numbers.Integral) else int(option.n_neighbors) - 1


def finder(training: Training, option: Any) -> tuple[Neighbourhood, int]:
    """Give what finds neighbours, and how many."""
    if isinstance(option, numbers.Integral):
        return training.near, int(option)
    return Reference(training.Z, option), count_of(option)


def join(parts: Sequence[Pairs]) -> Pairs:
    """Put parts one after another."""
    if len(parts) == 1:
        return parts[0]
    seeds = [p.seed for p in parts if p.seed is not None]
    return Pairs(
        np.concatenate([p.base for p in parts]),
        np.concatenate([p.partner for p in parts]),
        np.concatenate([p.step for p in parts]),
        np.concatenate(seeds) if seeds else None,
    )


def assemble(
    parts: Sequence[Pairs], labels: Sequence[Array], training: Training, law: Law | None = None
) -> SynthesisPlan:
    """Make a plan that keeps every row and adds the parts."""
    empty = np.empty(0, np.int64)

    def whole(name: str) -> Rows | None:
        found = [getattr(p, name) for p in parts]
        return np.concatenate(found) if found and found[0] is not None else None

    return SynthesisPlan(
        np.concatenate([empty, *(p.base for p in parts)]),
        np.concatenate([empty, *(p.partner for p in parts)]),
        np.concatenate([np.empty(0), *(p.step for p in parts)]).astype(np.float32),
        np.concatenate([training.y[:0], *labels]),
        training.all,
        seed=whole("seed"),
        law=law,
        groups=training.groups,
        donor=whole("donor"),
    )
