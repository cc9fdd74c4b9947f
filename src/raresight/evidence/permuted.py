"""What a subgroup's difference from the rest would be if patients were dealt to subgroups at random."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raresight.evidence.estimates import RecipeRows, estimate
from raresight.evidence.metrics import Bools, Floats

PERMUTATIONS = 999


def permuted_differences(
    rows: RecipeRows, inside: Bools, metrics: tuple[str, ...], permutations: int = PERMUTATIONS, seed: int = 0
) -> dict[str, Floats]:
    """Deal the groups (patients) anew to a subgroup and the rest, and give the differences that come of it.

    Groups that hold an anomaly and groups that hold none are dealt apart, so that the subgroup keeps its
    number of each. Where subgroups are alike, the true difference is one of these.

    Source: Fisher, "The design of experiments", Oliver & Boyd 1935, chapter 3; of whole groups, as rows of
    one patient are not exchangeable with those of another.

    Parameters
    ----------
    rows : RecipeRows
        A recipe's predictions of the whole set.
    inside : (n,) bool array
        Whether a row belongs to the subgroup; a group with such a row counts as inside.
    metrics : tuple of str
        Of `METRICS`; decisions at the default threshold.
    permutations, seed : int

    Returns
    -------
    dict of str to (permutations,) float array
        Subgroup − rest; NaN where one of them has no value.
    """
    groups = int(rows.group.max()) + 1
    kind, mark = np.zeros(groups, bool), np.zeros(groups, bool)
    kind[rows.group[rows.label]] = True
    mark[rows.group[inside]] = True
    counts = np.zeros((permutations, groups), np.uint16)
    random = np.random.default_rng(seed)
    for each in (True, False):
        members: NDArray[np.int64] = np.flatnonzero(kind == each)
        counts[:, members] = random.permuted(np.tile(mark[members], (permutations, 1)), axis=1)
    own = estimate(rows, counts, slope_steps=1)
    rest = estimate(rows, (1 - counts.astype(np.int64)).astype(np.uint16), slope_steps=1)
    return {metric: own.value(metric) - rest.value(metric) for metric in metrics}


def permutation_p(value: float, null: Floats) -> float:
    """Give the two-sided p: the share of permuted differences, itself among them, at least as far from 0."""
    known = null[np.isfinite(null)]
    return float((1 + (np.abs(known) >= abs(value) - 1e-12).sum()) / (1 + len(known)))
