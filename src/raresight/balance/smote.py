"""SMOTE and random over-sampling."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from raresight.balance.base import PlanSampler
from raresight.balance.neighbours import Gram
from raresight.balance.plan import SynthesisPlan, no_synthesis
from raresight.errors import DataError

Array = NDArray[Any]


class NoSampler(PlanSampler):
    """Keep every row as it is: the baseline."""

    def __init__(self) -> None:
        super().__init__()

    def _decide(self, Z: Array, y: Array, gram: Gram | None) -> SynthesisPlan:
        return no_synthesis(np.arange(len(y)), y)


class RandomOverSampler(PlanSampler):
    """Draw rows of the small classes again, with replacement.

    Parameters
    ----------
    sampling_strategy : float, str, dict or callable
        As in imbalanced-learn.
    random_state : int, RandomState or None
        The same seed gives the rows that imbalanced-learn's class gives.
    """

    def _decide(self, Z: Array, y: Array, gram: Gram | None) -> SynthesisPlan:
        random = check_random_state(self.random_state)
        bases, labels = [np.empty(0, np.int64)], [y[:0]]
        for label, count in self.sampling_strategy_.items():
            members = np.flatnonzero(y == label)
            bases.append(members[random.randint(low=0, high=len(members), size=count)])
            labels.append(np.full(count, label, dtype=y.dtype))
        base = np.concatenate(bases)
        return SynthesisPlan(
            base, base.copy(), np.zeros(len(base), np.float32), np.concatenate(labels), np.arange(len(y))
        )


class SMOTE(PlanSampler):
    """Synthetic minority over-sampling: new rows between a row and one of its neighbours of the same class.

    Source: Chawla, Bowyer, Hall & Kegelmeyer, "SMOTE: Synthetic Minority Over-sampling Technique", JAIR 16
    (2002), 321–357, algorithm 1.

    Parameters
    ----------
    sampling_strategy : float, str, dict or callable
        As in imbalanced-learn.
    random_state : int, RandomState or None
        The same seed gives the rows that imbalanced-learn's ``SMOTE`` gives.
    k_neighbors : int
        Neighbours to choose a partner from.
    """

    def __init__(
        self, *, sampling_strategy: Any = "auto", random_state: Any = None, k_neighbors: int = 5
    ) -> None:
        super().__init__(sampling_strategy=sampling_strategy, random_state=random_state)
        self.k_neighbors = k_neighbors

    def _decide(self, Z: Array, y: Array, gram: Gram | None) -> SynthesisPlan:
        random = check_random_state(self.random_state)
        keep = np.arange(len(y))
        parts = [no_synthesis(keep, y)]
        for label, count in self.sampling_strategy_.items():
            if count:
                parts.append(self._between(Z, y, gram, label, count, random))
        joined = (np.concatenate([getattr(p, name) for p in parts]) for name in ("base", "partner", "step", "label"))
        return SynthesisPlan(*joined, keep)

    def _between(
        self, Z: Array, y: Array, gram: Gram | None, label: Any, count: int, random: np.random.RandomState
    ) -> SynthesisPlan:
        members = np.flatnonzero(y == label)
        k = int(self.k_neighbors)
        if len(members) <= k:
            raise DataError(_too_few(label, len(members), k))
        within = Gram.of(Z[members]) if gram is None else gram.take(members)
        own = np.arange(len(members))
        near = members[within.nearest(own, own, k)]
        drawn = random.randint(low=0, high=near.size, size=count)
        step = random.uniform(size=count).astype(np.float32)
        row, column = np.divmod(drawn, k)
        return SynthesisPlan(
            members[row], near[row, column], step, np.full(count, label, dtype=y.dtype), members[:0]
        )


def _too_few(label: Any, count: int, k: int) -> str:
    if count < 2:
        return f"class {label} has {count} training row, and SMOTE needs two; balance it with random-over"
    return (
        f"class {label} has {count} training rows, too few for SMOTE with k_neighbors={k}; "
        f"use k_neighbors={count - 1}, for example --balance smote[k_neighbors={count - 1}]"
    )
