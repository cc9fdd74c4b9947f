"""One task: one recipe on one split, from training rows to out-of-fold predictions."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raresight.evidence.calibration import Platt
from raresight.evidence.thresholds import RULES
from raresight.experiment.external import External
from raresight.experiment.inner import fit_with_inner
from raresight.experiment.protocol import Protocol, task_seed
from raresight.experiment.recipe import Recipe
from raresight.experiment.search import tune
from raresight.images.splits import Rows, Split, check_groups, drop_anomalies
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
        Rule → value on the scale of the score.
    receipt : dict
        Counts that prove nothing leaked, seconds, and the settings chosen.
    external : pandas.DataFrame or None
        One row an image of the external set, in the same columns.
    """

    predictions: pd.DataFrame
    thresholds: dict[str, float]
    receipt: dict[str, Any]
    external: pd.DataFrame | None = None


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
    train = split.train
    if protocol.imbalance is not None:
        train = drop_anomalies(store.manifest.y, groups, train, protocol.imbalance, seed)
    start = time.perf_counter()
    chosen = tune(recipe, store, groups, train, protocol, seed) if protocol.tune else recipe
    fitted, inner = fit_with_inner(chosen, store, groups, train, protocol.inner_folds, seed)
    fit_seconds = time.perf_counter() - start
    learned_outside = inner.check(groups, train, split.test)
    inner_score, inner_label = inner.score, inner.label
    outside = fitted.plan.check(len(fitted.rows))
    start = time.perf_counter()
    score, raw = fitted.predict(store, split.test)
    predict_seconds = time.perf_counter() - start
    platt = Platt().fit(inner_score, inner_label)
    thresholds = {"default": float(fitted.detector.default_threshold)}
    thresholds |= {rule: learn(inner_score, inner_label) for rule, learn in RULES.items()}
    if chosen.rule is not None:
        thresholds["default"] = thresholds[chosen.rule]
    receipt = {
        "recipe": recipe.id,
        "repeat": split.repeat,
        "fold": split.fold,
        "train_rows": len(train),
        "train_anomalies": int(store.manifest.y[train].sum()),
        "test_rows": len(split.test),
        "shared_groups": shared,
        "dropped_rows": split.dropped,
        "learned_rows": len(inner.rows),
        "learned_outside": learned_outside,
        "synthetic": len(fitted.plan),
        "removed": len(fitted.rows) - len(fitted.plan.keep),
        "parents_outside": outside,
        "seconds": {"fit": fit_seconds, "predict": predict_seconds},
        "params": {"model": chosen.model.options, "balance": chosen.balance.options},
    }
    frame = _frame(task, store, groups, split.test, score, raw, platt.predict(score))
    if external is None:
        return Result(frame, thresholds, receipt)
    score, raw = external.predict(fitted)
    other = _frame(task, external.store, external.groups, external.rows, score, raw, platt.predict(score))
    return Result(frame, thresholds, receipt, other)


def _frame(
    task: Task,
    store: ImageStore,
    groups: NDArray[Any],
    rows: Rows,
    score: NDArray[np.float64],
    raw: NDArray[np.float64],
    probability: NDArray[np.float64],
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
            "score": score,
            "probability_raw": raw,
            "probability": probability,
        }
    )
