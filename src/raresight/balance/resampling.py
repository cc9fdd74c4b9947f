"""Samplers that only choose rows: none, random over-sampling, random under-sampling."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from raresight.balance.base import UNDER, SelectingSampler
from raresight.balance.neighbours import Gram
from raresight.balance.plan import SynthesisPlan, no_synthesis

Array = NDArray[Any]


class NoSampler(SelectingSampler):
    """Keep every row as it is: the baseline."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        super().__init__()

    def _strategy(self, y: Array) -> dict[Any, int]:
        classes = np.unique(y)
        if len(classes) < 2:
            raise ValueError("the target needs more than one class, got 1 class")
        return dict.fromkeys(classes.tolist(), 0)

    def _decide(self, Z: Array, y: Array, gram: Gram | None) -> SynthesisPlan:
        return no_synthesis(np.arange(len(y)), y)


class RandomOverSampler(SelectingSampler):
    """Draw rows of the small classes again, with replacement.

    With the same seed the rows are imbalanced-learn's.

    Parameters
    ----------
    sampling_strategy : float, str, dict or callable
        As in imbalanced-learn.
    random_state : int, RandomState or None
    """

    def _decide(self, Z: Array, y: Array, gram: Gram | None) -> SynthesisPlan:
        random = check_random_state(self.random_state)
        bases, labels = [np.empty(0, np.int64)], [y[:0]]
        for label, count in self.sampling_strategy_.items():
            bases.append(random.choice(np.flatnonzero(y == label), size=int(count), replace=True))
            labels.append(np.full(int(count), label, dtype=y.dtype))
        base = np.concatenate(bases)
        return SynthesisPlan(
            base, base.copy(), np.zeros(len(base), np.float32), np.concatenate(labels), np.arange(len(y))
        )


class RandomUnderSampler(SelectingSampler):
    """Keep a random part of the large classes' rows.

    With the same seed the rows are imbalanced-learn's, in its order: class after class.

    Parameters
    ----------
    sampling_strategy : float, str, dict or callable
        As in imbalanced-learn.
    random_state : int, RandomState or None
    replacement : bool
        Whether a row may be kept twice.
    """

    _sampling_type = "under-sampling"
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **UNDER,
        "random_state": ["random_state"],
        "replacement": ["boolean"],
    }

    def __init__(
        self, *, sampling_strategy: Any = "auto", random_state: Any = None, replacement: bool = False
    ) -> None:
        super().__init__(sampling_strategy=sampling_strategy, random_state=random_state)
        self.replacement = replacement

    def _decide(self, Z: Array, y: Array, gram: Gram | None) -> SynthesisPlan:
        random = check_random_state(self.random_state)
        kept = []
        for label in np.unique(y):
            members = np.flatnonzero(y == label)
            if label in self.sampling_strategy_:
                count = self.sampling_strategy_[label]
                members = members[random.choice(len(members), size=count, replace=self.replacement)]
            kept.append(members)
        return no_synthesis(np.concatenate(kept), y)
