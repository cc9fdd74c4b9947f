"""SMOTE."""

from __future__ import annotations

from typing import Any

from raresight.balance.interpolation import Interpolator, Pairs, Random, Training


class SMOTE(Interpolator):
    """Synthetic minority over-sampling: new rows between a row and one of its neighbours of the same class.

    With the same seed the rows are imbalanced-learn's, as long as no row is a copy of another and one class
    grows; see `compatible`.

    Source: Chawla, Bowyer, Hall & Kegelmeyer, "SMOTE: Synthetic Minority Over-sampling Technique", JAIR 16
    (2002), 321–357, algorithm 1.

    Parameters
    ----------
    sampling_strategy, random_state, k_neighbors, metric, neighbours, distinct, partners, compatible
        See `Interpolator`.
    """

    def _between(self, training: Training, label: Any, count: int, random: Random) -> Pairs:
        members = training.members(label)
        self._check_size(label, members)
        return self._draw(members, self._nearest(training, members, members), count, random)
