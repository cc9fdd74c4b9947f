"""Whether conformal answers keep their promise on a run's test rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raresight.errors import DataError, OptionError
from raresight.evidence.conformal import CLASSES, REFER, Conformal, Floats, Promise, error_law, patient_scores
from raresight.evidence.intervals import RESAMPLES, bounded_interval, draw_groups

RATES = (0.05, 0.1, 0.2)
"""Error rates that are tried in turn; the first that the patients allow is reported."""

Calibration = Mapping[tuple[int, int], pd.DataFrame]
"""(repeat, fold) → ``label, score, group`` of rows that the fold's detector was not trained on."""


@dataclass(frozen=True, slots=True)
class ConformalTable:
    """What conformal answers did on the test rows of one recipe.

    Attributes
    ----------
    alpha : float
    promise : {"patient", "image"}
    classes : dict of str to dict
        ``normal`` and ``anomalous`` → ``patients`` (tested), ``calibrated`` (fewest patients of a fold),
        ``promised`` (mean error rate that the calibrations promise), and ``broken`` (share of patients whose
        own class was ruled out), ``mistaken`` (share answered with the other class) and ``referred``, each a
        ``{"mean", "low", "high"}`` with a 95 % interval over patients.
    refused : str
        Why a smaller error rate was not taken; empty where the first was.
    """

    alpha: float
    promise: Promise
    classes: dict[str, dict[str, Any]]
    refused: str = ""


def measure_conformal(
    predictions: pd.DataFrame,
    calibration: Calibration,
    rates: Sequence[float] = RATES,
    promise: Promise = "patient",
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> ConformalTable:
    """Calibrate on each fold's own rows, answer its test rows, and count by patients.

    Parameters
    ----------
    predictions : pandas.DataFrame
        One recipe's: ``repeat, fold, group, label, score``.
    calibration : mapping
        From `inner_calibration` or `other_folds`.
    rates : sequence of float
        Tried in turn until the patients allow one.
    promise : {"patient", "image"}
    resamples, seed : int
        Of the bootstrap over patients.

    Raises
    ------
    OptionError
        If the patients allow none of the rates.
    """
    refused = ""
    for number, rate in enumerate(rates):
        try:
            made = {
                key: Conformal.fit(rows["label"], rows["score"], rows["group"], rate, promise)
                for key, rows in calibration.items()
            }
        except OptionError as error:
            refused = refused or str(error)
            if number == len(rates) - 1:
                raise OptionError(refused) from error
            continue
        break
    answers = pd.concat([_answers(part, made[key]) for key, part in _folds(predictions)], ignore_index=True)
    classes = {
        name: {
            "calibrated": min(len(one.scores[name]) for one in made.values()),
            "promised": float(np.mean([error_law(len(c.scores[name]), rate)["mean"] for c in made.values()])),
            **_shares(answers[answers["class"] == name], resamples, seed),
        }
        for name in CLASSES
    }
    return ConformalTable(rate, promise, classes, refused)


def inner_calibration(
    predictions: pd.DataFrame, inner: Mapping[tuple[int, int], pd.DataFrame]
) -> dict[tuple[int, int], pd.DataFrame]:
    """Calibrate each fold on its training rows, as scored by inner twins that did not see them.

    Nothing of the test rows is used, and the bundle's detector, fitted on every image, is calibrated the same
    way. It is approximate for detectors other than networks: the twins learned from fewer rows than the
    detector that answers. See `docs/explanation/how-sure-is-one-answer.md` for what that is worth.

    Parameters
    ----------
    predictions : pandas.DataFrame
        As for `measure_conformal`, with ``row``; tells the groups of rows where `inner` does not.
    inner : mapping
        (repeat, fold) → ``row, label, score`` and perhaps ``group``.

    Raises
    ------
    DataError
        If the group of a row is not known: the run is older than these tables.
    """
    known = predictions.drop_duplicates("row").set_index("row")["group"]
    found = {}
    for key, rows in inner.items():
        group = rows["group"] if "group" in rows else rows["row"].map(known)
        if group.isna().any():
            raise DataError("the run does not tell the patients of its inner scores; run it anew")
        found[key] = rows.assign(group=group)
    return found


def other_folds(predictions: pd.DataFrame) -> dict[tuple[int, int], pd.DataFrame]:
    """Calibrate each fold on the test rows of the repeat's other folds, scored by their own detectors.

    The detectors learned from as many rows as the one that answers, but from its test rows too: it is
    cross-conformal prediction, near its promise without a proof of it.

    Source: Vovk, "Cross-conformal predictors", Annals of Mathematics and Artificial Intelligence 74 (2015).
    """
    return {
        (repeat, fold): predictions[(predictions["repeat"] == repeat) & (predictions["fold"] != fold)]
        for (repeat, fold), _ in _folds(predictions)
    }


def _folds(predictions: pd.DataFrame) -> list[tuple[tuple[int, int], pd.DataFrame]]:
    return [
        (cast(tuple[int, int], key), part) for key, part in predictions.groupby(["repeat", "fold"], sort=True)
    ]


def _answers(part: pd.DataFrame, made: Conformal) -> pd.DataFrame:
    """Give each patient of each class, by the same score that calibration takes, and what was answered."""
    tables = []
    for name, number in CLASSES.items():
        own = part[part["label"] == number]
        scores = own["score"].to_numpy(np.float64)
        patients, score = patient_scores(scores, own["group"].to_numpy(), name, made.promise)
        decision = made.decide(score)
        tables.append(
            pd.DataFrame(
                {
                    "class": name,
                    "patient": patients,
                    "broken": ~made.plausible(score)[name],
                    "mistaken": ~np.isin(decision, [name, REFER]),
                    "referred": decision == REFER,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def _shares(answers: pd.DataFrame, resamples: int, seed: int) -> dict[str, Any]:
    """Average over patients, each over its repeats, with intervals from drawing whole patients."""
    kinds = ["broken", "mistaken", "referred"]
    each = answers.groupby("patient", sort=True)[kinds].mean()
    counts = draw_groups(np.zeros(len(each), bool), resamples, seed).astype(np.float64)
    return {"patients": len(each), **{kind: _cell(each[kind].to_numpy(), counts) for kind in kinds}}


def _cell(values: NDArray[Any], counts: Floats) -> dict[str, float | None]:
    if not len(values):
        return {"mean": None, "low": None, "high": None}
    point = float(values.mean())
    low, high = bounded_interval(0.0, 1.0, point, counts @ values / len(values), len(values))
    known = np.isfinite([low, high])
    return {"mean": point, "low": low if known[0] else None, "high": high if known[1] else None}
