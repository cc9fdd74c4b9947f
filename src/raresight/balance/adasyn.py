"""ADASYN."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from raresight.balance.borderline import share_of_strangers
from raresight.balance.features import UnusableRowsError
from raresight.balance.interpolation import NEIGHBOUR_COUNT, Interpolator, Pairs, Random, Training


class ADASYN(Interpolator):
    """SMOTE that makes more rows where more neighbours are of another class.

    Each row's share is rounded, so that the number of synthetic rows may differ a little from the one asked
    for, as the paper and imbalanced-learn have it; with the same seed the rows are imbalanced-learn's.

    Source: He, Bai, Garcia & Li, "ADASYN: Adaptive synthetic sampling approach for imbalanced learning",
    IJCNN 2008, 1322–1328.

    Parameters
    ----------
    sampling_strategy, random_state, metric, neighbours, distinct, partners, compatible
        See `Interpolator`.
    n_neighbors : int or estimator
        Neighbours, of any class for a row's share, of its own for its partners.
    """

    distances = True

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **{k: v for k, v in Interpolator._parameter_constraints.items() if k != "k_neighbors"},
        "n_neighbors": NEIGHBOUR_COUNT,
    }

    def __init__(
        self,
        *,
        sampling_strategy: Any = "auto",
        random_state: Any = None,
        n_neighbors: Any = 5,
        metric: str = "euclidean",
        neighbours: str = "exact",
        distinct: bool = True,
        partners: str = "any",
        compatible: bool = False,
    ) -> None:
        super().__init__(
            sampling_strategy=sampling_strategy,
            random_state=random_state,
            metric=metric,
            neighbours=neighbours,
            distinct=distinct,
            partners=partners,
            compatible=compatible,
        )
        del self.k_neighbors
        self.n_neighbors = n_neighbors

    def _between(self, training: Training, label: Any, count: int, random: Random) -> Pairs:
        members = training.members(label)
        self._check_size(label, members, "n_neighbors")
        weight = share_of_strangers(training.y, self._around(training, members, "n_neighbors"), label)
        if not weight.any():
            raise _NoStrangersError(
                f"no neighbour of class {label} is of another class, which ADASYN needs; use smote"
            )
        near = self._nearest(training, members, members, "n_neighbors")
        bases, near, available = self._usable(members, near)
        weight = weight[np.searchsorted(members, bases)]
        if not weight.any():
            weight = np.ones(len(bases))
        made = np.rint(weight / weight.sum() * count).astype(np.int64)
        if not made.sum():
            raise UnusableRowsError(
                f"ADASYN's shares of {count} rows of class {label} all round to 0; ask for more, or use smote"
            )
        row = np.repeat(np.arange(len(bases)), made)
        column = random.choice(near.shape[1], size=len(row))
        step = random.uniform(size=len(row))
        return Pairs(bases[row], near[row, column % available[row]], step)


class _NoStrangersError(UnusableRowsError, RuntimeError):
    """A ``RuntimeError`` too, which is what imbalanced-learn raises here."""
