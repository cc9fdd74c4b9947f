"""Expansive over-sampling: from a rare row towards its nearest enemies."""

from __future__ import annotations

import numbers
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval

from raresight.balance.base import PlanSampler
from raresight.balance.neighbours import Computed, Gram, Neighbourhood
from raresight.balance.plan import SynthesisPlan, no_synthesis

Array = NDArray[Any]
Rows = NDArray[np.int64]


class EOS(PlanSampler):
    """Expansive over-sampling: new rows between a rare row and one of its nearest enemies.

    Its law: ``row = base + step (enemy − base)``, the step uniform in [0, reach); the base is of the class
    that grows and has an enemy, a row of another class, among its `k_neighbors` nearest of all classes; the
    partner is drawn evenly from those enemies. So, unlike SMOTE's, a synthetic row leaves its class's own
    hull and may lie closer to the enemy than to its base. Where no row of the class has an enemy that near,
    the neighbourhood doubles until one has.

    It was made for a network's feature embeddings, where the classifier's head is then trained; in pixels it
    cross-fades two images of different classes under the rare one's label.

    Source: Dablain, Bellinger, Krawczyk & Chawla, "Efficient Augmentation for Imbalanced Deep Learning", ICDE
    2023 (arXiv:2207.06080). The published code takes the enemy's position from a list without the base and
    looks it up in one with it, and so often takes the neighbour before the enemy; here it is the enemy.

    Parameters
    ----------
    sampling_strategy : float, str, dict or callable
        As in imbalanced-learn.
    random_state : int, RandomState or None
    k_neighbors : int
        Neighbours, of any class, among which enemies are sought.
    reach : float
        Largest step, above 0 and at most 1; the paper's is 1.
    """

    distances = True

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **PlanSampler._parameter_constraints,
        "k_neighbors": [Interval(numbers.Integral, 1, None, closed="left")],
        "reach": [Interval(numbers.Real, 0, 1, closed="right")],
    }

    def __init__(
        self,
        *,
        sampling_strategy: Any = "auto",
        random_state: Any = None,
        k_neighbors: int = 10,
        reach: float = 1.0,
    ) -> None:
        super().__init__(sampling_strategy=sampling_strategy, random_state=random_state)
        self.k_neighbors = k_neighbors
        self.reach = reach

    def _decide(self, Z: Array, y: Array, gram: Gram | None) -> SynthesisPlan:
        random = check_random_state(self.random_state)
        around: Neighbourhood = Computed(Z) if gram is None else gram
        base, partner, label = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [y[:0]]
        for name, count in self.sampling_strategy_.items():
            if not count:
                continue
            rows, near, enemy = self._enemies(around, y, name)
            drawn = random.randint(len(rows), size=count)
            base.append(rows[drawn])
            partner.append(_draw(near[drawn], enemy[drawn], random))
            label.append(np.full(count, name, dtype=y.dtype))
        if len(base) == 1:
            return no_synthesis(np.arange(len(y)), y)
        bases = np.concatenate(base)
        step = random.uniform(0, self.reach, size=len(bases)).astype(np.float32)
        return SynthesisPlan(bases, np.concatenate(partner), step, np.concatenate(label), np.arange(len(y)))

    def _enemies(self, around: Neighbourhood, y: Array, name: Any) -> tuple[Rows, Rows, NDArray[np.bool_]]:
        """Find the rows of a class that have enemies, their neighbours, and which of these are enemies."""
        members, everyone = np.flatnonzero(y == name), np.arange(len(y))
        k = min(self.k_neighbors, len(y) - 1)
        while True:
            near = around.nearest(members, everyone, k)
            enemy = y[near] != name
            faced = enemy.any(axis=1)
            if faced.any():
                return members[faced], near[faced], enemy[faced]
            k = min(2 * k, len(y) - 1)


def _draw(near: Rows, enemy: NDArray[np.bool_], random: np.random.RandomState) -> Rows:
    """Choose one enemy a row, evenly."""
    rank = np.floor(random.uniform(size=len(near)) * enemy.sum(axis=1)).astype(np.int64)
    column = (np.cumsum(enemy, axis=1) > rank[:, None]).argmax(axis=1)
    return np.take_along_axis(near, column[:, None], axis=1)[:, 0]
