"""Paired tests of the field: reported beside a verdict, and never deciding it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from raresight.errors import DataError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Tested:
    """What a paired test found.

    Attributes
    ----------
    difference, error : float
        Mean difference and its standard error.
    low, high : float
        95 % interval.
    p : float
        Two-sided p of no difference.
    """

    difference: float
    error: float
    low: float
    high: float
    p: float


def nadeau_bengio(differences: ArrayLike, test_share: float) -> Tested:
    """Test the differences of a cross-validation with the variance corrected for shared training rows.

    The variance of the mean of J differences is (1/J + n_test/n_train) s².

    Parameters
    ----------
    differences : (J,) array-like of float
        One each (repeat, fold), J ≥ 2.
    test_share : float
        n_test / n_train: 1/(folds − 1) in a k-fold cross-validation.

    Returns
    -------
    Tested
        With Student's t of J − 1 degrees of freedom.

    Raises
    ------
    DataError
        If there are fewer than two differences.

    Notes
    -----
    Source: Nadeau & Bengio, "Inference for the generalization error", Machine Learning 52 (2003), 239–281.
    """
    d = _several(differences)
    error = math.sqrt((1 / len(d) + test_share) * float(d.var(ddof=1)))
    return _student(float(d.mean()), error, len(d) - 1)


@dataclass(frozen=True, slots=True)
class Posterior:
    """Chances that the true difference is below, inside and above the region of practical equivalence.

    Attributes
    ----------
    below, rope, above : float
        They sum to 1.
    """

    below: float
    rope: float
    above: float


def correlated_bayes(differences: ArrayLike, correlation: float, rope: float) -> Posterior:
    """Give the posterior of a mean difference when the folds' differences are correlated.

    Parameters
    ----------
    differences : (J,) array-like of float
    correlation : float
        Between the differences of two folds; n_test / (n_test + n_train), 1/folds, is the usual value.
    rope : float
        Half width of the region of practical equivalence, ≥ 0.

    Returns
    -------
    Posterior

    Raises
    ------
    DataError
        If there are fewer than two differences.

    Notes
    -----
    Source: Corani & Benavoli, "A Bayesian approach for comparing cross-validated algorithms on multiple data
    sets", Machine Learning 100 (2015), 285–304: a Student's t around the mean with scale² (1/J + ρ/(1−ρ)) s²
    and J − 1 degrees of freedom.
    """
    d = _several(differences)
    scale = math.sqrt((1 / len(d) + correlation / (1 - correlation)) * float(d.var(ddof=1)))
    mean = float(d.mean())
    if scale == 0:
        return Posterior(float(mean < -rope), float(abs(mean) <= rope), float(mean > rope))
    below = float(stats.t.cdf((-rope - mean) / scale, len(d) - 1))
    above = float(stats.t.sf((rope - mean) / scale, len(d) - 1))
    return Posterior(below, 1 - below - above, above)


def signed_bayes(
    differences: ArrayLike, rope: float, *, draws: int = 50_000, strength: float = 1.0, seed: int = 0
) -> Posterior:
    """Give the chances that one method is worse, the same or better on a further image set.

    The Bayesian sign test: a Dirichlet posterior over below, inside and above the region, whose prior weighs
    as much as one set that lies inside.

    Parameters
    ----------
    differences : (sets,) array-like of float
        Mean difference on each set.
    rope : float
    draws, seed : int
        Of the Monte Carlo sample.
    strength : float
        Weight of the prior, in sets.

    Returns
    -------
    Posterior
        Shares of the draws in which each of the three is the most probable.

    Notes
    -----
    Source: Benavoli, Corani, Demšar & Zaffalon, "Time for a change: a tutorial for comparing multiple
    classifiers through Bayesian analysis", JMLR 18 (2017), section 4.2.
    """
    d = np.asarray(differences, np.float64)
    counts = np.array([(d < -rope).sum(), (np.abs(d) <= rope).sum() + strength, (d > rope).sum()], float)
    drawn = np.random.default_rng(seed).dirichlet(np.maximum(counts, 1e-6), draws)
    shares = np.bincount(drawn.argmax(axis=1), minlength=3) / draws
    return Posterior(*(float(share) for share in shares))


def delong(label: ArrayLike, score: ArrayLike, against: ArrayLike) -> Tested:
    """Compare two AUROCs on the same, independent images.

    Parameters
    ----------
    label : (n,) array-like of bool or 0/1
        Both occur at least twice.
    score, against : (n,) array-like of float
        Of the two recipes, each of one fitted model.

    Returns
    -------
    Tested
        Of AUROC(score) − AUROC(against), normal approximation.

    Raises
    ------
    DataError
        If a class has fewer than two images.

    Notes
    -----
    Source: DeLong, DeLong & Clarke-Pearson, Biometrics 44 (1988), 837–845; by ranks as in Sun & Xu, IEEE
    Signal Processing Letters 21 (2014), 1389–1393.
    """
    y = np.asarray(label, bool)
    if min(y.sum(), (~y).sum()) < 2:
        raise DataError("DeLong's test needs at least two images of each class")
    places = [_placements(y, np.asarray(s, np.float64)) for s in (score, against)]
    difference = float(places[0][0].mean() - places[1][0].mean())
    anomalous, normal = (places[0][side] - places[1][side] for side in (0, 1))
    variance = anomalous.var(ddof=1) / len(anomalous) + normal.var(ddof=1) / len(normal)
    return _student(difference, math.sqrt(float(variance)), math.inf)


def _placements(y: NDArray[np.bool_], score: Floats) -> tuple[Floats, Floats]:
    """Share of normal images below each anomalous one, and of anomalous images above each normal one."""
    ranks = stats.rankdata(score)
    m, n = int(y.sum()), int((~y).sum())
    high = (ranks[y] - stats.rankdata(score[y])) / n
    low = 1 - (ranks[~y] - stats.rankdata(score[~y])) / m
    return high, low


def mcnemar(right: ArrayLike, against_right: ArrayLike) -> dict[str, float]:
    """Test whether two recipes err on equally many of the same, independent images: exact, two-sided.

    Parameters
    ----------
    right, against_right : (n,) array-like of bool
        Whether each recipe decided rightly.

    Returns
    -------
    dict
        ``gained`` and ``lost``: images that only the first, only the second decided rightly; ``p``.

    Notes
    -----
    Source: McNemar, Psychometrika 12 (1947), 153–157; the binomial form.
    """
    a, b = np.asarray(right, bool), np.asarray(against_right, bool)
    gained, lost = int((a & ~b).sum()), int((~a & b).sum())
    p = 1.0 if gained + lost == 0 else float(stats.binomtest(gained, gained + lost).pvalue)
    return {"gained": gained, "lost": lost, "p": p}


@dataclass(frozen=True, slots=True)
class Ranking:
    """Methods ranked over several sets.

    Attributes
    ----------
    ranks : (methods,) float array
        Mean rank, 1 = best.
    p : float
        Friedman's, in the form of Iman and Davenport.
    critical_difference : float
        Nemenyi's: mean ranks nearer than this are not told apart.
    """

    ranks: Floats
    p: float
    critical_difference: float


def friedman_nemenyi(values: ArrayLike, level: float = 0.05) -> Ranking:
    """Rank methods over several image sets.

    Parameters
    ----------
    values : (sets, methods) array-like of float
        Higher is better; at least two sets and two methods.
    level : float
        Of the critical difference.

    Returns
    -------
    Ranking

    Raises
    ------
    DataError
        If there are fewer than two sets or methods, or a value is missing.

    Notes
    -----
    Source: Demšar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7 (2006), 1–30,
    section 3.2.2.
    """
    table = np.asarray(values, np.float64)
    if table.ndim != 2 or min(table.shape) < 2 or not np.isfinite(table).all():
        raise DataError("Friedman's test needs a value of at least two methods on each of at least two sets")
    sets, methods = table.shape
    ranks = stats.rankdata(-table, axis=1).mean(axis=0)
    scale = 12 * sets / (methods * (methods + 1))
    chi2 = scale * (float((ranks**2).sum()) - methods * (methods + 1) ** 2 / 4)
    rest = sets * (methods - 1) - chi2
    freedom = (methods - 1, (methods - 1) * (sets - 1))
    p = 0.0 if rest <= 1e-12 else float(stats.f.sf((sets - 1) * chi2 / rest, *freedom))
    q = float(stats.studentized_range.ppf(1 - level, methods, np.inf)) / math.sqrt(2)
    return Ranking(ranks, p, q * math.sqrt(methods * (methods + 1) / (6 * sets)))


def _several(differences: ArrayLike) -> Floats:
    d = np.asarray(differences, np.float64)
    d = d[np.isfinite(d)]
    if len(d) < 2:
        raise DataError("a paired test over folds needs at least two of them")
    return d


def _student(difference: float, error: float, freedom: float) -> Tested:
    if error == 0:
        return Tested(difference, 0.0, difference, difference, float(difference == 0))
    reach = error * float(stats.t.ppf(0.975, freedom))
    p = float(2 * stats.t.sf(abs(difference) / error, freedom))
    return Tested(difference, error, difference - reach, difference + reach, p)
