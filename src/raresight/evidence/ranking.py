"""Balances ranked over several image sets: Friedman's test and Nemenyi's critical difference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from raresight.errors import DataError, OptionError
from raresight.evidence.metrics import METRICS
from raresight.evidence.names import data_title
from raresight.evidence.paired import friedman_nemenyi
from raresight.evidence.verdicts import HEADLINE, LOWER_IS_BETTER, MARGINS

FEWEST_SETS = 2
TRUSTED_SETS = 10
"""Below about ten sets the tests' distributions are rough (Demšar 2006, section 3.2.2)."""

Condition = tuple[int, str, str]
"""Number of the run, model and representation."""


class Ranked(Protocol):
    """A run, as far as a ranking looks at it; `raresight.experiment.run.Run` is one."""

    @property
    def settings(self) -> dict[str, Any]:
        """``run.json``."""
        ...

    @property
    def metrics(self) -> dict[str, Any]:
        """``metrics.json``."""
        ...


@dataclass(frozen=True, slots=True)
class BalanceRanking:
    """Balances ranked over image sets, best first.

    Attributes
    ----------
    metric : str
    balances : tuple of str
    sets : tuple of str
    conditions : tuple of int
        For each set, how many conditions (run, model, representation) its values are means of.
    values : (sets, balances) float array
        Mean of the metric over a set's conditions.
    ranks : (balances,) float array
        Mean rank over sets, 1 = best; ascending.
    p : float
        Friedman's, in the form of Iman and Davenport.
    critical_difference : float
        Nemenyi's: mean ranks nearer than this are not told apart.
    left_out : tuple of str
        Balances that some set has not, and conditions that lack one of the balances ranked.
    """

    metric: str
    balances: tuple[str, ...]
    sets: tuple[str, ...]
    conditions: tuple[int, ...]
    values: NDArray[np.float64]
    ranks: NDArray[np.float64]
    p: float
    critical_difference: float
    left_out: tuple[str, ...] = ()


def rank_balances(runs: Iterable[Ranked], metric: str = HEADLINE) -> BalanceRanking:
    """Rank balances over the image sets of several runs.

    One row of Friedman's test is one image set: its value for a balance is the mean over the set's
    conditions: the models and representations of its runs, so its imbalances, too. Conditions of one set
    share their images and are no rows of their own, as the test takes rows for independent.

    Parameters
    ----------
    runs : iterable of Run
        On two sets or more. Runs whose sets have the same name and the same number of images in each class
        count as runs of one set; sets that share images must be told apart by the user.
    metric : {"auroc", "auprc", "sensitivity_at_95_specificity", "brier"}

    Returns
    -------
    BalanceRanking

    Raises
    ------
    OptionError
        If there is no such metric.
    DataError
        If there are fewer than two sets, or fewer than two balances that all of them have.

    Notes
    -----
    Source: Demšar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7 (2006), 1–30.
    """
    if metric not in MARGINS:
        raise OptionError(f"balances cannot be ranked by {metric!r}; choose from: {', '.join(MARGINS)}")
    tables = _by_set(runs, metric)
    if len(tables) < FEWEST_SETS:
        only = next(iter(tables), "no set")
        raise DataError(
            f"a ranking across sets needs runs on at least {FEWEST_SETS} image sets; "
            f"these are of {only} alone"
        )
    shared, left_out = _shared(tables)
    rows, conditions = [], []
    for name, table in tables.items():
        whole = [[own[b] for b in shared] for own in table.values() if set(shared) <= own.keys()]
        if not whole:
            raise DataError(
                f"{name} has no condition with {METRICS[metric].title} of all of: {', '.join(shared)}"
            )
        lost = len(table) - len(whole)
        if lost:
            left_out.append(f"{lost} of {len(table)} conditions of {name}, which lack a balance or its value")
        conditions.append(len(whole))
        rows.append(np.mean(whole, axis=0))
    values = np.array(rows)
    found = friedman_nemenyi(-values if metric in LOWER_IS_BETTER else values)
    order = np.argsort(found.ranks, kind="stable")
    return BalanceRanking(
        metric,
        tuple(shared[i] for i in order),
        tuple(tables),
        tuple(conditions),
        values[:, order],
        found.ranks[order],
        found.p,
        found.critical_difference,
        tuple(left_out),
    )


def cliques(
    ranks: Sequence[float] | NDArray[np.float64], critical_difference: float
) -> list[tuple[int, int]]:
    """Find the longest stretches of mean ranks that are not told apart.

    Parameters
    ----------
    ranks : (methods,) sequence of float
        Ascending.
    critical_difference : float

    Returns
    -------
    list of (first, last)
        Positions; no stretch lies within another, and none has a single member.
    """
    found: list[tuple[int, int]] = []
    for first, rank in enumerate(ranks):
        last = max(i for i, other in enumerate(ranks) if other - rank <= critical_difference)
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


def _by_set(runs: Iterable[Ranked], metric: str) -> dict[str, dict[Condition, dict[str, float]]]:
    """Give set → condition → balance → value; sets of one name that differ are numbered."""
    names: dict[tuple[str, tuple[tuple[str, int], ...]], str] = {}
    tables: dict[str, dict[Condition, dict[str, float]]] = {}
    for number, run in enumerate(runs):
        data = run.settings["data"]
        if run.settings.get("task") == "multiclass":
            raise OptionError(
                f"{data_title(data['name'])} was graded in several classes; a ranking across sets takes runs "
                "of normal against anomalous only"
            )
        title = data_title(data["name"])
        key = title, tuple(sorted(data["classes"].items()))
        alike = sum(other == title for other, _ in names)
        name = names.setdefault(key, title if not alike else f"{title} ({alike + 1})")
        table = tables.setdefault(name, {})
        for row in run.metrics["recipes"]:
            value = row["metrics"][metric]["mean"]
            if value is not None:
                table.setdefault((number, row["model"], row["representation"]), {})[row["balance"]] = value
    return tables


def _shared(tables: Mapping[str, Mapping[Condition, Mapping[str, float]]]) -> tuple[list[str], list[str]]:
    """Find the balances that every set has, and say which some set has not."""
    has = {name: {b for own in table.values() for b in own} for name, table in tables.items()}
    every = list(dict.fromkeys(b for table in tables.values() for own in table.values() for b in own))
    shared = [b for b in every if all(b in own for own in has.values())]
    if len(shared) < 2:
        raise DataError(
            "a ranking across sets needs at least two balances that every set was compared with; "
            f"shared by all: {', '.join(shared) or 'none at all'}"
        )
    return shared, [f"{b}, which not every set was compared with" for b in every if b not in shared]
