"""Where a score stands among those of the training images, from a bundle's quantiles of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def standing(score: float, scores: Mapping[str, Any]) -> dict[str, float | None]:
    """Tell how many training images scored as extremely.

    Parameters
    ----------
    score : float
    scores : mapping
        ``scores`` of a bundle's ``reference.json``: ``normal`` and ``anomalous``, each with its number ``n``
        and evenly spaced ``quantiles`` from the least to the greatest score.

    Returns
    -------
    dict
        ``normal_as_high``, the share of normal training images that score at least as high; and
        ``anomalous_as_low``, that of anomalous ones that score at most as high; from 0 to 1, interpolated
        between quantiles, None where there are no such images.
    """
    normal, anomalous = scores["normal"], scores["anomalous"]
    upside_down = [-value for value in reversed(normal["quantiles"])]
    return {
        "normal_as_high": _at_most(-score, upside_down, normal["n"]),
        "anomalous_as_low": _at_most(score, anomalous["quantiles"], anomalous["n"]),
    }


def _at_most(score: float, quantiles: list[float], n: int) -> float | None:
    """Give the share of a set that lies at or below a score."""
    if not quantiles or n < 1:
        return None
    if score < quantiles[0]:
        return 0.0
    # A run of equal quantiles is a score that many share; all of them lie at or below it.
    above = int(np.searchsorted(quantiles, score, side="right"))
    if above == len(quantiles):
        return 1.0
    low, high = quantiles[above - 1], quantiles[above]
    share = (above - 1 + (score - low) / (high - low)) / (len(quantiles) - 1)
    # A quantile p is the score of rank p (n - 1), counted from 0.
    return (share * (n - 1) + 1) / n
