"""A SMOTE that neither copies nor shuns the border."""

from __future__ import annotations

import math
import numbers
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval

from raresight.balance.features import UnusableRowsError
from raresight.balance.geometric import lengths
from raresight.balance.interpolation import Interpolator, Pairs, Random, Training


class BoundarySMOTE(Interpolator):
    """SMOTE with neighbours in proportion to the class, and with steps that reach past the partner.

    It answers two theorems on SMOTE with a fixed k: the more rows the class has, the nearer a synthetic row
    lies to its base, so that in the limit rows are copied; and the density of synthetic rows vanishes at the
    border of the class's support, since they lie between its rows. So

    * k is the larger of 5 and a `share` of the class, at most all others: the neighbourhood doesn't shrink
      as the class grows (the paper's own runs include k = 0.1 n);
    * a step is uniform on 0 … 1 + r instead of 0 … 1. The way past the partner is at most `reach` times the
      way to it, and at most half the partner's distance to the nearest row of another class, so that it ends
      on the partner's side of the border: r = min(reach, ½ d(partner, stranger) / d(base, partner)).

    Rows stay on the line through their parents. With ``reach=0`` it is SMOTE with k in proportion.

    Source of the theorems: Sakho, Malherbe & Scornet, "Do we need rebalancing strategies? A theoretical and
    empirical study around SMOTE and its variants", 2024, arXiv 2402.03819 (theorem 3.4, corollary 3.5 and
    theorem 3.6 of its fifth version). The answer is raresight's; the paper's own are a k chosen by
    cross-validation (here ``compare --tune`` with smote) and draws from local Gaussians.

    Parameters
    ----------
    sampling_strategy, random_state, metric, neighbours, distinct, partners, compatible
        See `Interpolator`.
    share : float
        Above 0, up to 1.
    reach : float
        At least 0.
    """

    distances = True

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **{k: v for k, v in Interpolator._parameter_constraints.items() if k != "k_neighbors"},
        "share": [Interval(numbers.Real, 0, 1, closed="right")],
        "reach": [Interval(numbers.Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        *,
        sampling_strategy: Any = "auto",
        random_state: Any = None,
        share: float = 0.1,
        reach: float = 0.5,
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
        self.share = share
        self.reach = reach

    def _between(self, training: Training, label: Any, count: int, random: Random) -> Pairs:
        members = training.members(label)
        k = min(max(5, math.ceil(self.share * len(members))), len(members) - 1)
        if k < 1:
            raise UnusableRowsError(self._too_few(label, len(members), 1, "share"))
        strangers = np.flatnonzero(training.y != label)
        foreign = training.near.nearest(members, strangers, 1)[:, 0]
        near = training.near.nearest(members, members, k, self._barriers(training, members))
        pairs = self._draw(members, near, count, random)
        way = lengths(training.Z, pairs.base, pairs.partner)
        room = lengths(training.Z, members, foreign)[np.searchsorted(members, pairs.partner)]
        beyond = np.minimum(self.reach, np.divide(0.5 * room, way, out=np.zeros(count), where=way > 0))
        return Pairs(pairs.base, pairs.partner, pairs.step * (1 + beyond))
