"""Risk against coverage: how many answers are wrong when only the surest are given.

Images are answered in the order of an uncertainty, the surest first. Coverage is the share answered, risk the
share of wrong ones among them, and AURC the mean risk over all coverages: less is better, and an uncertainty
that knows nothing has the error rate itself. The least that any order can have, all errors last, is taken off
in E-AURC. Rows of equal uncertainty count as answered in random order.

Source: El-Yaniv & Wiener, "On the foundations of noise-free selective classification", JMLR 11 (2010);
Geifman, Uziel & El-Yaniv, "Bias-reduced uncertainty estimation for deep neural classifiers", ICLR 2019.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raresight.errors import DataError
from raresight.evidence.curves import Curve
from raresight.evidence.estimates import RecipeRows
from raresight.evidence.intervals import RESAMPLES, difference_interval, draw_groups

Floats = NDArray[np.float64]


def risk_coverage_curve(error: ArrayLike, uncertainty: ArrayLike) -> Curve:
    """Give risk (y) at the coverages 1/n, 2/n … 1 (x).

    Parameters
    ----------
    error : (n,) bool or float array
        Whether an answer is wrong, or its loss.
    uncertainty : (n,) float array
        Higher = answered later.

    Raises
    ------
    DataError
        If the two differ in number, there is no row, or an uncertainty is not a number.
    """
    ordered, block = _ordered(error, uncertainty)
    return Curve(np.arange(1, len(ordered) + 1) / len(ordered), _risks(ordered, block))


def aurc(error: ArrayLike, uncertainty: ArrayLike) -> float:
    """Area under the risk–coverage curve; see `risk_coverage_curve`."""
    return float(risk_coverage_curve(error, uncertainty).y.mean())


def best_aurc(error: ArrayLike) -> float:
    """Least area that any uncertainty could have: every error is answered last."""
    return aurc(error, np.asarray(error, np.float64))


def excess_aurc(error: ArrayLike, uncertainty: ArrayLike) -> float:
    """E-AURC: the area above the least possible."""
    return aurc(error, uncertainty) - best_aurc(error)


def compare_uncertainties(
    error: ArrayLike | Mapping[str, ArrayLike],
    uncertainties: Mapping[str, ArrayLike],
    group: ArrayLike,
    baseline: str,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Compare uncertainties of the same rows with one of them, by a paired bootstrap over patients.

    Parameters
    ----------
    error : (n,) bool array, or a mapping of such
        Whether each answer is wrong; one array for all uncertainties, or one each where answers differ too.
    uncertainties : mapping of str to (n,) float array
    group : (n,) array
        The patient of each row; whole patients are drawn.
    baseline : str
        Of `uncertainties`.
    resamples, seed : int

    Returns
    -------
    dict of str to dict
        Name → ``aurc``, ``e_aurc``, ``risk_80`` (risk at 80 % coverage), and of the difference of AURC from
        the baseline ``difference``, ``low`` and ``high`` (95 %); below 0 is better.
    """
    errors = {n: np.asarray(error[n] if isinstance(error, Mapping) else error) for n in uncertainties}
    names, member = np.unique(np.asarray(group), return_inverse=True)
    counts = draw_groups(np.zeros(len(names), bool), resamples, seed)
    draws = {n: _drawn(errors[n], u, member, counts) for n, u in uncertainties.items()}
    found: dict[str, dict[str, Any]] = {}
    for name, uncertainty in uncertainties.items():
        curve = risk_coverage_curve(errors[name], uncertainty)
        area = float(curve.y.mean())
        row = {"aurc": area, "e_aurc": area - best_aurc(errors[name])}
        row["risk_80"] = float(curve.y[int(np.ceil(0.8 * len(curve.y))) - 1])
        if name != baseline:
            difference = area - aurc(errors[baseline], uncertainties[baseline])
            low, high = difference_interval(difference, draws[name] - draws[baseline], len(names))
            row |= {"difference": difference, "low": low, "high": high}
        found[name] = row
    return found


def answer_doubt(rows: RecipeRows) -> tuple[NDArray[np.bool_], Floats] | None:
    """Tell of a recipe's answers at the default threshold which are wrong, and the stated chance of that.

    Returns
    -------
    error : (n,) bool array
    uncertainty : (n,) float array
        The calibrated probability of the class that was not called; the pair is None without probabilities.
    """
    if "default" not in rows.flagged or np.isnan(rows.probability).any():
        return None
    flagged = rows.flagged["default"]
    return flagged != rows.label, np.where(flagged, 1 - rows.probability, rows.probability)


def _ordered(error: ArrayLike, uncertainty: ArrayLike) -> tuple[Floats, NDArray[np.int64]]:
    """Sort errors by uncertainty, and number the blocks of equal uncertainty."""
    wrong, unsure = np.asarray(error, np.float64), np.asarray(uncertainty, np.float64)
    if wrong.shape != unsure.shape or wrong.ndim != 1 or not len(wrong):
        raise DataError("errors and uncertainties differ in number, or there is none; give one of each a row")
    if np.isnan(unsure).any():
        raise DataError("an uncertainty is not a number; leave such rows out")
    order = np.argsort(unsure, kind="stable")
    values = unsure[order]
    return wrong[order], np.cumsum(np.r_[0, values[1:] != values[:-1]])


def _risks(ordered: Floats, block: NDArray[np.int64]) -> Floats:
    """Mean error of the first 1 … n rows; in a block of ties each counts as the block's mean."""
    size = np.maximum(np.bincount(block), 1)  # a resample may have nothing of a block
    even = (np.bincount(block, ordered) / size)[block]
    found: Floats = np.cumsum(even) / np.arange(1, len(even) + 1)
    return found


def _drawn(
    error: NDArray[Any], uncertainty: ArrayLike, member: NDArray[np.int64], counts: NDArray[np.uint16]
) -> Floats:
    """AURC on each resample of groups."""
    ordered, block = _ordered(error, uncertainty)
    owner = member[np.argsort(np.asarray(uncertainty, np.float64), kind="stable")]
    found = np.empty(len(counts))
    for i, drawn in enumerate(counts):
        times = drawn[owner]
        found[i] = _risks(np.repeat(ordered, times), np.repeat(block, times)).mean()
    return found
