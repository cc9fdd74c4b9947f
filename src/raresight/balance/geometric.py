"""Geometric SMOTE."""

from __future__ import annotations

import numbers
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval, StrOptions

from raresight.balance.features import width
from raresight.balance.interpolation import Interpolator, Pairs, Random, Training
from raresight.balance.laws import Ball
from raresight.balance.neighbours import Gram, pieces
from raresight.balance.plan import SynthesisPlan

Array = NDArray[Any]
Rows = NDArray[np.int64]


class GeometricSMOTE(Interpolator):
    """New rows in a ball around a row of the class, not only on the line to a neighbour.

    The ball's radius is the distance to a partner: a neighbour of the class, the nearest row of another
    class, or the nearer of the two. The plan holds a seed for each row; its law is `laws.Ball`.

    Source: Douzas & Bacao, "Geometric SMOTE: a geometrically enhanced drop-in replacement for SMOTE",
    Information Sciences 501 (2019), 118–135.

    Parameters
    ----------
    sampling_strategy, random_state, k_neighbors, metric, neighbours, distinct, partners, compatible
        See `Interpolator`.
    truncation_factor : float
        −1 … 1, see `laws.Ball`.
    deformation_factor : float
        0 … 1, see `laws.Ball`.
    selection_strategy : {"combined", "minority", "majority"}
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **Interpolator._parameter_constraints,
        "truncation_factor": [Interval(numbers.Real, -1, 1, closed="both")],
        "deformation_factor": [Interval(numbers.Real, 0, 1, closed="both")],
        "selection_strategy": [StrOptions({"combined", "minority", "majority"})],
    }

    def __init__(
        self,
        *,
        sampling_strategy: Any = "auto",
        random_state: Any = None,
        k_neighbors: Any = 5,
        truncation_factor: float = 1.0,
        deformation_factor: float = 0.0,
        selection_strategy: str = "combined",
        metric: str = "euclidean",
        neighbours: str = "exact",
        distinct: bool = True,
        partners: str = "any",
        compatible: bool = False,
    ) -> None:
        super().__init__(
            sampling_strategy=sampling_strategy,
            random_state=random_state,
            k_neighbors=k_neighbors,
            metric=metric,
            neighbours=neighbours,
            distinct=distinct,
            partners=partners,
            compatible=compatible,
        )
        self.truncation_factor = truncation_factor
        self.deformation_factor = deformation_factor
        self.selection_strategy = selection_strategy

    def _plan(self, Z: Array, y: Array, groups: Array | None, gram: Gram | None) -> SynthesisPlan:
        self._law = Ball(float(self.truncation_factor), float(self.deformation_factor))
        return super()._plan(Z, y, groups, gram)

    def _between(self, training: Training, label: Any, count: int, random: Random) -> Pairs:
        members = training.members(label)
        self._check_size(label, members)
        near = self._nearest(training, members, members)
        pairs = self._draw(members, near, count, random)
        partner = pairs.partner
        if self.selection_strategy != "minority":
            strangers = np.flatnonzero(training.y != label)
            foreign = training.near.nearest(members, strangers, 1)[:, 0]
            partner = foreign[np.searchsorted(members, pairs.base)]
        if self.selection_strategy == "combined":
            nearer = lengths(training.Z, pairs.base, pairs.partner) <= lengths(
                training.Z, pairs.base, partner
            )
            partner = np.where(nearer, pairs.partner, partner)
        seeds = random.randint(np.iinfo(np.int64).max, size=count, dtype=np.int64)
        return Pairs(pairs.base, partner, pairs.step, seeds)


def lengths(Z: Array, rows: Rows, others: Rows) -> NDArray[np.float64]:
    """Give the Euclidean distance of each row to the other at the same place, each pair once."""
    pairs, where = np.unique(np.stack([rows, others]), axis=1, return_inverse=True)
    found = np.empty(pairs.shape[1])
    for piece in pieces(pairs.shape[1], width(Z)):
        across = Z[pairs[0, piece]].astype(np.float64) - Z[pairs[1, piece]]
        found[piece] = np.sqrt((across.reshape(len(across), -1) ** 2).sum(axis=1))
    return found[where.reshape(-1)]
