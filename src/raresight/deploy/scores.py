"""The training scores as a reference: their distribution at any prevalence, and how far others are from it.

A bundle keeps 101 quantiles of either class's scores, so the reference can be mixed anew for another share of
anomalies: new images of the same two kinds, in other shares, are no drift. With numpy alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BINS = 10
"""Of the population stability index: tenths of the training scores."""

SMOOTHED = 0.5
"""Added to each bin's count, so that an empty one does not make the index infinite."""


@dataclass(frozen=True)
class ClassScores:
    """The scores of one class.

    Attributes
    ----------
    n : float
        How many independent ones they are worth: fewer than there are where patients have several images.
    quantiles : (q,) float64 array
        At evenly spaced levels from 0 to 1.
    crowding : float
        New images for each independent one.
    """

    n: float
    quantiles: Floats
    crowding: float = 1.0

    @classmethod
    def from_dict(cls, known: Mapping[str, Any]) -> ClassScores | None:
        """Read a class of ``reference.json``; None where there was none of it."""
        if not known["n"]:
            return None
        quantiles = np.asarray(known["quantiles"], np.float64)
        return cls(float(known.get("independent", known["n"])), quantiles, float(known.get("crowding", 1)))

    def up_to(self, x: Floats) -> Floats:
        """Give the share of scores at most x."""
        return np.asarray(np.interp(x, self.quantiles, self._levels, left=0.0), np.float64)

    def below(self, x: Floats) -> Floats:
        """Give the share of scores less than x; another one where many scores are the same."""
        return np.asarray(1 - np.interp(-x, -self.quantiles[::-1], self._levels, left=0.0), np.float64)

    @property
    def _levels(self) -> Floats:
        return np.linspace(0, 1, len(self.quantiles))


@dataclass(frozen=True)
class ScoreReference:
    """Both classes.

    Attributes
    ----------
    normal, anomalous : ClassScores or None
        One of them may be missing, not both.
    share : float
        Of anomalies among the scores.
    """

    normal: ClassScores | None
    anomalous: ClassScores | None
    share: float

    @classmethod
    def from_dict(cls, known: Mapping[str, Any]) -> ScoreReference:
        """Read ``scores`` of ``reference.json``."""
        counts = [int(known[name]["n"]) for name in ("normal", "anomalous")]
        normal, anomalous = (ClassScores.from_dict(known[name]) for name in ("normal", "anomalous"))
        if normal is None and anomalous is None:
            raise ValueError("the reference holds no score")
        return cls(normal, anomalous, counts[1] / sum(counts))

    def weights(self, prevalence: float) -> list[tuple[float, ClassScores]]:
        """Give the classes there are, with their weights."""
        both = [(1 - prevalence, self.normal), (prevalence, self.anomalous)]
        known = [(weight, scores) for weight, scores in both if scores is not None]
        return known if len(known) == 2 else [(1.0, known[0][1])]

    def size(self, prevalence: float) -> float:
        """Give how many plain draws know as much as the weighted classes do (Kish 1965)."""
        return 1 / sum(weight**2 / scores.n for weight, scores in self.weights(prevalence))

    def independent(self, count: int, prevalence: float) -> float:
        """Give how many independent images so many are worth, by the images a patient in training."""
        return count / sum(weight * scores.crowding for weight, scores in self.weights(prevalence))

    def edges(self, bins: int = BINS) -> Floats:
        """Cut the scores, mixed as in training, into bins of like weight: (≤ bins − 1,) inner edges."""
        grid = np.unique(np.concatenate([scores.quantiles for _, scores in self.weights(self.share)]))
        mixed = sum(weight * scores.up_to(grid) for weight, scores in self.weights(self.share))
        return np.unique(np.interp(np.arange(1, bins) / bins, np.asarray(mixed), grid))

    def bins(self, prevalence: float, edges: Floats) -> Floats:
        """Give each bin's share, mixed for a prevalence: (bins,)."""
        return np.asarray(sum(w * bin_shares(scores, edges) for w, scores in self.weights(prevalence)))

    def kolmogorov_smirnov(
        self, scores: Floats, prevalence: float, tolerance: float = 0.0
    ) -> tuple[float, float]:
        """Hold scores to the reference, mixed for a prevalence.

        Parameters
        ----------
        scores : (m,) float64 array
        prevalence : float
        tolerance : float
            A distance that is no difference.

        Returns
        -------
        distance : float
            The largest difference of the two distribution functions.
        p : float
            How often it is as large by chance, at most. The reference counts as a sample too.
        """
        ordered = np.sort(scores)
        m = len(ordered)
        known = self.weights(prevalence)
        above = np.searchsorted(ordered, ordered, "right") / m - sum(w * s.up_to(ordered) for w, s in known)
        below = sum(w * s.below(ordered) for w, s in known) - np.searchsorted(ordered, ordered, "left") / m
        distance = float(max(0.0, np.max(above), np.max(below)))
        r, own = self.size(prevalence), self.independent(m, prevalence)
        return distance, kolmogorov_p(max(0.0, distance - tolerance), own * r / (own + r))

    def stability_index(self, scores: Floats, prevalence: float, edges: Floats) -> float:
        """Give the population stability index, Σ (p − q) ln (p / q) over bins; 0 = the same.

        Source: Siddiqi, "Credit risk scorecards" (2006): from .1 on a small shift, from .25 a large one. By
        chance alone it is about (bins − 1)(1/m + 1/r): Yurdakul & Naranjo, "Statistical properties of the
        population stability index", Journal of Risk Model Validation 14 (2020).
        """
        q = self.bins(prevalence, edges)
        p = bin_counts(scores, edges) / len(scores)
        r = self.size(prevalence)
        p, q = (smooth(p, len(scores)), smooth(q, r))
        return float(np.sum((p - q) * np.log(p / q)))


def bin_counts(scores: Floats, edges: Floats) -> Floats:
    """Count scores by bin, an edge belonging to the bin above it: (bins,)."""
    return np.bincount(np.searchsorted(edges, scores, "right"), minlength=len(edges) + 1).astype(np.float64)


def bin_shares(known: ClassScores, edges: Floats) -> Floats:
    """Give the share of a class's scores in each bin: (bins,), sum 1."""
    return np.diff(known.below(edges), prepend=0.0, append=1.0)


def kolmogorov_p(distance: float, n: float) -> float:
    """Give the chance of a Kolmogorov–Smirnov distance at least as large, from n draws.

    Source: Kolmogorov 1933, with the finite-sample correction of Stephens, "EDF statistics for goodness of
    fit and some comparisons", JASA 69 (1974).
    """
    size = (math.sqrt(n) + 0.12 + 0.11 / math.sqrt(n)) * distance
    if size < 0.2:
        return 1.0
    terms = (math.exp(-2 * (k * size) ** 2) * (1 if k % 2 else -1) for k in range(1, 101))
    return min(1.0, max(0.0, 2 * math.fsum(terms)))


def smooth(shares: Floats, n: float) -> Floats:
    """Keep shares of n draws off 0: `SMOOTHED` draws more in each bin."""
    return np.asarray((shares * n + SMOOTHED) / (n + SMOOTHED * len(shares)), np.float64)
