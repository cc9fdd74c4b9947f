"""One task: one recipe on one split, from training rows to out-of-fold predictions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from traceback import format_exc
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax

from raresight.errors import InputError, LeakageError, MissingExtraError, RaresightError, RunError
from raresight.evidence.calibration import UNCALIBRATED
from raresight.evidence.temperature import Temperature
from raresight.evidence.thresholds import parse_rule
from raresight.experiment.chances import Chances
from raresight.experiment.external import External
from raresight.experiment.inner import InnerScores, fit_with_inner
from raresight.experiment.protocol import Protocol, task_seed
from raresight.experiment.recipe import FittedRecipe, Recipe
from raresight.experiment.search import tune
from raresight.images.splits import Rows, Split, check_groups
from raresight.images.store import ImageStore


@dataclass(frozen=True, slots=True)
class Task:
    """A recipe and a split."""

    recipe: Recipe
    split: Split

    @property
    def key(self) -> tuple[str, int, int]:
        """Recipe id, repeat and fold."""
        return self.recipe.id, self.split.repeat, self.split.fold


@dataclass(frozen=True, slots=True)
class Result:
    """What a task leaves behind.

    Attributes
    ----------
    predictions : pandas.DataFrame
        One row a test image.
    thresholds : dict
        Rule → value on the scale of the score; empty for a multi-class task.
    receipt : dict
        Counts that prove nothing leaked, seconds, and the settings chosen.
    inner : pandas.DataFrame
        ``row, group, label, score`` of training rows, by a twin of the detector that did not see them: what
        thresholds and calibration were learned from, and an ensemble learns from.
    external : pandas.DataFrame or None
        One row an image of the external set, in the same columns as `predictions`.
    """

    predictions: pd.DataFrame
    thresholds: dict[str, float]
    receipt: dict[str, Any]
    inner: pd.DataFrame
    external: pd.DataFrame | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a task left nothing behind: one sentence, and for a defect where it happened."""

    reason: str
    traceback: str = ""


def try_task(
    task: Task,
    store: ImageStore,
    groups: NDArray[Any],
    protocol: Protocol,
    external: External | None = None,
) -> Result | Failure:
    """Run a task; one that fails, because its training diverges or its code does, fails alone.

    Raises
    ------
    InputError, LeakageError, MissingExtraError, RunError
        What the user can mend, or must know of, ends the whole comparison.
    """
    try:
        return run_task(task, store, groups, protocol, external)
    except (InputError, LeakageError, MissingExtraError, RunError):
        raise
    except RaresightError as error:
        return Failure(str(error))
    except Exception as error:
        return Failure(f"{type(error).__name__}: {error}", format_exc())


def run_task(
    task: Task,
    store: ImageStore,
    groups: NDArray[Any],
    protocol: Protocol,
    external: External | None = None,
) -> Result:
    """Fit a recipe on a split's training rows and predict its test rows, and those of an external set.

    Raises
    ------
    LeakageError
        If a group is on both sides, a synthetic row has a parent outside the training rows, or a threshold
        or calibration would learn from a test row's score.
    """
    recipe, split = task.recipe, task.split
    seed = task_seed(protocol.seed, split.repeat, split.fold)
    shared = check_groups(groups, split.train, split.test)
    train = protocol.thinned(store.manifest.y, groups, split.train, seed)
    start = time.perf_counter()
    chosen = tune(recipe, store, groups, train, protocol, seed) if protocol.tune else recipe
    fitted, inner = fit_with_inner(chosen, store, groups, train, protocol.inner_folds, seed)
    fit_seconds = time.perf_counter() - start
    learned_outside = inner.check(groups, train, split.test)
    outside = fitted.plan.check(len(fitted.rows))
    receipt = {
        "recipe": recipe.id,
        "repeat": split.repeat,
        "fold": split.fold,
        "train_rows": len(train),
        **_counts(store, train),
        "test_rows": len(split.test),
        "shared_groups": shared,
        "dropped_rows": split.dropped,
        "learned_rows": len(inner.rows),
        "learned_outside": learned_outside,
        "synthetic": len(fitted.plan),
        "removed": len(fitted.rows) - len(fitted.plan.keep),
        "parents_outside": outside,
    }
    start = time.perf_counter()
    if protocol.task == "multiclass":
        answers = fitted.score(store, split.test)
        predict_seconds = time.perf_counter() - start
        columns = _class_columns(answers, inner, protocol.calibration)
        receipt |= {"seconds": {"fit": fit_seconds, "predict": predict_seconds}}
        receipt |= {"calibration": {"method": protocol.calibration}, "params": _params(chosen)}
        frame = _frame(task, store, groups, split.test, columns)
        return Result(frame, {}, receipt, _inner_frame(inner, groups))
    score, raw = fitted.predict(store, split.test)
    predict_seconds = time.perf_counter() - start
    # What the fold had before anomalies were dropped: known without a look at the test rows.
    prevalence = float(store.manifest.y[split.train].mean())
    chances = Chances.learn(fitted, inner, protocol.calibration, prevalence)
    served_at = prevalence if protocol.prevalence is None else protocol.prevalence
    thresholds = learn_thresholds(chosen, fitted, inner, protocol.thresholds, served_at)
    receipt |= {
        "seconds": {"fit": fit_seconds, "predict": predict_seconds},
        "calibration": {
            "method": protocol.calibration,
            "learned_at": None if np.isnan(chances.learned_at) else chances.learned_at,
            "stated_at": prevalence,
        },
        "params": _params(chosen),
    }
    scored = _inner_frame(inner, groups)
    frame = _frame(task, store, groups, split.test, chances.columns(score, raw))
    if external is None:
        return Result(frame, thresholds, receipt, scored)
    score, raw = external.predict(fitted)
    columns = chances.columns(score, raw)
    other = _frame(task, external.store, external.groups, external.rows, columns)
    return Result(frame, thresholds, receipt, scored, other)


def _inner_frame(inner: InnerScores, groups: NDArray[Any]) -> pd.DataFrame:
    """Put inner scores in a table, of several classes one column each."""
    known = {"row": inner.rows, "group": groups[inner.rows], "label": inner.label}
    if inner.score.ndim == 1:
        return pd.DataFrame({**known, "score": inner.score})
    return pd.DataFrame({**known, **{f"score_{c}": column for c, column in enumerate(inner.score.T)}})


def _counts(store: ImageStore, train: Rows) -> dict[str, Any]:
    """Count the training rows of each kind."""
    y, manifest = store.manifest.y[train], store.manifest
    if manifest.task == "binary":
        return {"train_anomalies": int(y.sum())}
    counts = np.bincount(y, minlength=len(manifest.classes))
    return {"train_classes": dict(zip(manifest.classes, counts.tolist(), strict=True))}


def _params(chosen: Recipe) -> dict[str, Any]:
    return {"model": chosen.model.options, "balance": chosen.balance.options}


def _class_columns(score: NDArray[np.float64], inner: InnerScores, method: str) -> dict[str, Any]:
    """Give the likeliest class by the detector's own scores, those, and each class's probability."""
    if method == UNCALIBRATED:
        probability = np.asarray(softmax(score, axis=1), np.float64)
    else:
        probability = Temperature().fit(inner.score, inner.label).predict(score)
    classes = range(score.shape[1])
    return {
        "predicted": score.argmax(axis=1).astype(np.int64),
        **{f"score_{c}": score[:, c] for c in classes},
        **{f"probability_{c}": probability[:, c] for c in classes},
    }


NORMAL_QUANTILE = "specificity=0.95"
"""The rule in place of a default threshold where scores have none of their own."""


def learn_thresholds(
    recipe: Recipe, fitted: FittedRecipe, inner: InnerScores, rules: Sequence[str], prevalence: float
) -> dict[str, float]:
    """Learn each rule's threshold from inner scores, those that need anomalies only where there are any.

    Returns
    -------
    dict
        Rule → value on the scale of the score; ``default`` is the balance's rule, the detector's own
        threshold, or, where it has none, `NORMAL_QUANTILE`.
    """
    wanted = dict.fromkeys([*rules, *([recipe.rule] if recipe.rule else [])])
    both = len(np.unique(inner.label)) == 2
    learned = {
        rule: parse_rule(rule).learn(inner.score, inner.label, prevalence)
        for rule in wanted
        if both or parse_rule(rule).kind == "specificity"
    }
    own = fitted.detector.default_threshold
    if recipe.rule:
        return {"default": learned[recipe.rule], **learned}
    if own is None:
        own = parse_rule(NORMAL_QUANTILE).learn(inner.score, inner.label, prevalence)
    return {"default": float(own), **learned}


def _frame(
    task: Task,
    store: ImageStore,
    groups: NDArray[Any],
    rows: Rows,
    columns: dict[str, Any],
) -> pd.DataFrame:
    files = store.manifest.table["file"].to_numpy()
    return pd.DataFrame(
        {
            "recipe": task.recipe.id,
            "repeat": task.split.repeat,
            "fold": task.split.fold,
            "row": rows,
            "file": files[rows],
            "group": groups[rows],
            "label": store.manifest.y[rows],
            **columns,
        }
    )
