"""Ensembles by stacking: recipes' scores combined by weights learned on inner out-of-fold scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from raresight.errors import DataError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Stack:
    """A logistic combination of several scores, none of which may count against an anomaly.

    Weights are not negative (Breiman, "Stacked regressions", Machine Learning 24 (1996)), and a quadratic
    penalty draws them to their common mean: with few anomalies the stack is the plain average. Source:
    Wolpert, "Stacked generalization", Neural Networks 5 (1992).

    Attributes
    ----------
    centre, scale : (m,) float arrays
        What each score is standardised by.
    weights : (m,) float array
        From 0 on, for standardised scores.
    intercept : float
    """

    centre: Floats
    scale: Floats
    weights: Floats
    intercept: float

    @classmethod
    def learn(cls, scores: Floats, label: NDArray[np.int64]) -> Stack:
        """Learn from scores that the members gave to rows that they did not see.

        Parameters
        ----------
        scores : (n, m) float array
            One column a member.
        label : (n,) int array
            1 = anomalous.

        Raises
        ------
        DataError
            If only one class is there.
        """
        if len(np.unique(label)) < 2:
            raise DataError("a stack is learned from scores of normal and anomalous rows, and one is missing")
        centre, scale = scores.mean(axis=0), scores.std(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        z, sign = (scores - centre) / scale, np.where(label == 1, 1.0, -1.0)

        def cost(theta: Floats) -> tuple[float, Floats]:
            weights, intercept = theta[:-1], theta[-1]
            margin = sign * (z @ weights + intercept)
            spread = weights - weights.mean()
            slope = -sign * expit(-margin)
            gradient = np.append(slope @ z + spread, slope.sum())
            return float(-log_expit(margin).sum() + 0.5 * (spread**2).sum()), gradient

        start = np.append(np.full(z.shape[1], 1.0 / z.shape[1]), 0.0)
        bounds = [(0.0, 50.0)] * z.shape[1] + [(None, None)]  # separable rows would send them to infinity
        theta = minimize(cost, start, jac=True, bounds=bounds, method="L-BFGS-B").x
        return cls(centre, scale, theta[:-1], float(theta[-1]))

    def score(self, scores: Floats) -> Floats:
        """Combine (n, m) scores to (n,) log odds."""
        combined: Floats = (scores - self.centre) / self.scale @ self.weights + self.intercept
        return combined


def common_rows(tables: Sequence[pd.DataFrame]) -> tuple[NDArray[np.int64], Floats, NDArray[np.int64]]:
    """Put several recipes' scores of the same rows side by side.

    Parameters
    ----------
    tables : sequence of pandas.DataFrame
        One a recipe: ``row, label, score``; only rows that all have are taken.

    Returns
    -------
    row, scores, label : (n,), (n, m) and (n,) arrays, by row
    """
    series = [table.set_index("row")["score"] for table in tables]
    joined = pd.concat(series, axis=1, join="inner").sort_index()
    label = tables[0].set_index("row")["label"].loc[joined.index]
    return (
        joined.index.to_numpy(np.int64),
        joined.to_numpy(np.float64),
        label.to_numpy(np.int64),
    )
