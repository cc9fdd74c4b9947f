"""Verdicts: a balance helps, harms, makes no difference worth having, or these images cannot tell."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from raresight.evidence.difference import Difference
from raresight.evidence.estimates import Evidence
from raresight.evidence.influence import JUDGED, STEPS, Jackknife
from raresight.evidence.intervals import LEVEL
from raresight.evidence.metrics import METRICS, SPECIFICITY_KEPT

MARGINS = {"auroc": 0.01, "auprc": 0.01, "sensitivity_at_95_specificity": 0.02, "brier": 0.005}
"""Practical equivalence: a difference smaller than this is not worth having."""

HEADLINE = "auroc"
LOWER_IS_BETTER = frozenset({"brier"})
SIGNIFICANCE = 0.05
FEWEST_GROUPS = 10
FEWEST_REPEATS = 5

Word = Literal["helps", "harms", "equivalent", "inconclusive"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of one recipe against its baseline, by one metric.

    Attributes
    ----------
    word : {"helps", "harms", "equivalent", "inconclusive"}
    difference, error, freedom : float
        Recipe − baseline; its standard error; Satterthwaite's degrees of freedom.
    interval, inner : tuple of float
        95 % and 90 % intervals of the difference; see `Difference.inner`.
    p, p_holm : float
        Two-sided p of no difference; adjusted for all pairs of the run.
    margin : float
        Practical equivalence.
    reason : str
        Why nothing is decided, else empty.
    more_groups : int or None
        Where nothing is decided: about how many more groups (patients) would decide it, if the difference
        stays as it is.
    """

    word: Word
    difference: float
    error: float
    freedom: float
    interval: tuple[float, float]
    inner: tuple[float, float]
    p: float
    p_holm: float
    margin: float
    reason: str = ""
    more_groups: int | None = None


def verdicts(
    evidence: Evidence,
    pairs: Iterable[tuple[str, str]],
    *,
    stochastic: Iterable[str] = (),
    margins: Mapping[str, float] = MARGINS,
    jackknife: Jackknife | None = None,
) -> dict[tuple[str, str], dict[str, Verdict]]:
    """Judge recipes against their baselines, all pairs of a run together.

    The variance of a paired difference is that of the groups' influence, anomalous and normal groups apart,
    plus that between repeats divided by their number; Student's t has Satterthwaite's degrees of freedom,
    and where few groups decide an AUROC the lighter tails of their sum (`Difference.effective`).
    ``equivalent`` where the 90 % interval lies inside the margin; else ``helps`` or ``harms`` where Holm's p,
    over all pairs and by metric, is below .05; else ``inconclusive``. Nothing is decided with fewer than
    ten groups in a class, nor for a stochastic detector with fewer than five repeats, nor on sensitivity at
    95 % specificity where a fold has fewer than twenty normal groups.

    Parameters
    ----------
    evidence : Evidence
    pairs : iterable of (recipe, baseline)
        On the same rows.
    stochastic : iterable of str
        Recipes whose training depends on the seed beyond the split.
    margins : mapping
        Metric → practical equivalence.
    jackknife : Jackknife, optional
        Of the same evidence, if there is one already.

    Returns
    -------
    dict
        (recipe, baseline) → metric → Verdict.
    """
    wanted = list(dict.fromkeys(pairs))
    jackknife, drawn = jackknife or Jackknife(evidence), set(stochastic)
    found: dict[tuple[str, str], dict[str, Verdict]] = {pair: {} for pair in wanted}
    for metric in JUDGED:
        differences = [jackknife.difference(recipe, against, metric) for recipe, against in wanted]
        p = np.array([d.p for d in differences])
        for pair, difference, own, adjusted in zip(wanted, differences, p, holm(p), strict=True):
            reason = _undecidable(evidence, pair, drawn) or _unresolved(evidence, pair[0], metric)
            found[pair][metric] = decide(
                difference,
                float(own),
                float(adjusted),
                margins[metric],
                METRICS[metric].title,
                reason,
                evidence.groups["all"],
                lower_is_better=metric in LOWER_IS_BETTER,
            )
    return found


def holm(p: NDArray[np.float64] | Sequence[float]) -> NDArray[np.float64]:
    """Adjust p-values so that the chance of one false rejection among all is kept.

    Source: Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statistics 6 (1979),
    65–70. NaN stays NaN and isn't counted.

    Parameters
    ----------
    p : (m,) float array

    Returns
    -------
    (m,) float array
    """
    values = np.asarray(p, np.float64)
    adjusted = np.full(len(values), np.nan)
    order = np.argsort(values)
    order = order[np.isfinite(values[order])]
    steps = values[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(order) else []
    return adjusted


def _undecidable(evidence: Evidence, pair: tuple[str, str], stochastic: set[str]) -> str:
    fewest = min(evidence.groups["anomalous"], evidence.groups["normal"])
    repeats = min(len(np.unique(evidence.rows[recipe].repeat)) for recipe in pair)
    return undecidable(fewest, repeats, bool(stochastic & set(pair)))


def undecidable(fewest: int, repeats: int, drawn: bool) -> str:
    """Say why nothing can be decided; empty where something can.

    Parameters
    ----------
    fewest : int
        Groups of the class that has fewest.
    repeats : int
    drawn : bool
        Whether the training of one of the two is random.
    """
    if fewest < FEWEST_GROUPS:
        return f"a class has {fewest} groups; {FEWEST_GROUPS} are the fewest that a verdict can rest on"
    if repeats < FEWEST_REPEATS and drawn:
        return (
            f"the detector's training is random and was repeated {repeats} time{'s' * (repeats != 1)}; "
            f"a verdict needs {FEWEST_REPEATS}, --repeats {FEWEST_REPEATS}"
        )
    return ""


def _unresolved(evidence: Evidence, recipe: str, metric: str) -> str:
    """Say where a fold has too few normal groups to tell its 95 % specificity."""
    if metric not in STEPS:
        return ""
    rows = evidence.rows[recipe]
    each = [len(np.unique(rows.group[~rows.label & (rows.unit == unit)])) for unit in np.unique(rows.unit)]
    needed = round(1 / (1 - SPECIFICITY_KEPT))
    if min(each) >= needed:
        return ""
    return f"a fold has only {min(each)} normal groups, and a specificity of .95 needs {needed} to be told"


def decide(
    difference: Difference,
    p: float,
    p_holm: float,
    margin: float,
    title: str,
    reason: str,
    groups: int,
    *,
    lower_is_better: bool = False,
) -> Verdict:
    """Judge one paired difference; see `verdicts`.

    Parameters
    ----------
    difference : Difference
    p, p_holm : float
        Of no difference; adjusted for all pairs.
    margin : float
    title : str
        What the metric is called.
    reason : str
        Why nothing can be decided, else empty.
    groups : int
        Of the set.
    lower_is_better : bool
    """
    error, freedom, value = difference.error, difference.freedom, difference.value
    interval, inner = difference.interval(LEVEL), difference.inner
    word: Word = "inconclusive"
    more = None
    if not math.isfinite(value):
        reason = reason or f"{title} is not defined for both"
    elif not reason:
        word = _word(value, inner, p_holm, margin, lower_is_better)
        if word == "inconclusive":
            more = more_groups(difference, margin, groups)
    return Verdict(word, value, error, freedom, interval, inner, p, p_holm, margin, reason, more)


def _word(
    value: float, inner: tuple[float, float], p_holm: float, margin: float, lower_is_better: bool
) -> Word:
    if -margin < inner[0] and inner[1] < margin:
        return "equivalent"
    if p_holm >= SIGNIFICANCE:
        return "inconclusive"
    return "helps" if (value > 0) != lower_is_better else "harms"


def more_groups(difference: Difference, margin: float, groups: int) -> int | None:
    """Estimate how many more groups would decide, if the difference stays and its error falls as 1/√groups.

    Returns
    -------
    int or None
        Rounded up to two digits; None where no number would.
    """
    size, error = abs(difference.value), difference.error
    needed = []
    if size > 0:
        needed.append((stats.norm.ppf(1 - SIGNIFICANCE / 2) * error / size) ** 2)
    if size < margin:
        needed.append((stats.norm.ppf(1 - SIGNIFICANCE) * error / (margin - size)) ** 2)
    if not needed:
        return None
    more = groups * (max(1.0, min(needed)) - 1)
    digits = 10 ** max(0, len(str(int(more))) - 2)
    return int(math.ceil(more / digits) * digits)
