"""Recipes made of a run's recipes: the one that the training rows favour, and the stack of the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from raresight.errors import RunError
from raresight.evidence.prevalence import prior_correction
from raresight.evidence.thresholds import parse_rule
from raresight.experiment.run import Run
from raresight.experiment.stacking import Stack, common_rows
from raresight.experiment.task import Result

AUTO = "auto"
STACK = "stack"


@dataclass(frozen=True, slots=True)
class Key:
    """Which task a result belongs to: what `Run.write` asks of one."""

    recipe: str
    repeat: int
    fold: int

    @property
    def key(self) -> tuple[str, int, int]:
        """Recipe id, repeat and fold."""
        return self.recipe, self.repeat, self.fold


def inner_auroc(run: Run, recipe: str, repeat: int, fold: int) -> float:
    """AUROC of the scores that a task's training rows got from a twin that did not see them."""
    inner = run.inner(recipe, repeat, fold)
    return float(roc_auc_score(inner["label"], inner["score"]))


def favourite(run: Run) -> str:
    """Name the recipe with the best mean inner AUROC: a choice that never looks at a test row.

    Raises
    ------
    RunError
        If no recipe's training rows hold both classes, so that nothing says which is better.
    """
    folds: dict[str, list[tuple[int, int]]] = {}
    for receipt in run.receipts:
        if receipt["recipe"] not in (AUTO, STACK):
            folds.setdefault(receipt["recipe"], []).append((receipt["repeat"], receipt["fold"]))
    if len(folds) == 1:
        return next(iter(folds))
    mean = {
        recipe: float(np.mean([inner_auroc(run, recipe, *fold) for fold in each]))
        for recipe, each in folds.items()
        if all(run.inner(recipe, *fold)["label"].nunique() == 2 for fold in each)
    }
    if not mean:
        raise RunError(
            f"the training rows of {run.path} hold no anomaly to choose by; name one with --recipe"
        )
    return max(mean, key=lambda recipe: mean[recipe])


def choose(run: Run, recipes: Sequence[str], repeat: int, fold: int) -> list[str]:
    """Rank recipes by inner AUROC in one fold, best first; of equal ones the one named first."""
    auroc = {recipe: inner_auroc(run, recipe, repeat, fold) for recipe in recipes}
    return sorted(recipes, key=lambda recipe: -auroc[recipe])


def auto_result(run: Run, recipe: str, key: Key) -> Result:
    """Give a recipe's result on a fold as that of `auto`, which chose it without a look at the test rows."""
    mine = dict(zip(("recipe", "repeat", "fold"), key.key, strict=True))
    receipt = next(r for r in run.receipts if (r["recipe"], r["repeat"], r["fold"]) == (recipe, *key.key[1:]))
    return Result(
        _test_rows(run, recipe, key).assign(recipe=key.recipe),
        dict(run.thresholds[recipe, key.repeat, key.fold]),
        {**receipt, **mine, "chosen": recipe},
        run.inner(recipe, key.repeat, key.fold),
    )


def stack_result(run: Run, members: Sequence[str], key: Key) -> Result:
    """Combine recipes on a fold by weights that its training rows' inner scores teach.

    The stack's probability is its own: the weights are a logistic regression's. Its thresholds are learned on
    the rows that taught the weights, of which there are few.

    Parameters
    ----------
    run : Run
    members : sequence of str
        Recipes of the run; inner scores of rows that all of them have are learned from.
    key : Key
        The fold, and the name under which the stack goes.
    """
    inner = [run.inner(member, key.repeat, key.fold) for member in members]
    row, scores, label = common_rows(inner)
    stack = Stack.learn(scores, label)
    tables = [_test_rows(run, member, key) for member in members]
    tested = np.column_stack([table["score"].to_numpy(np.float64) for table in tables])
    score, own = stack.score(tested), stack.score(scores)
    receipts = [r for r in run.receipts if r["recipe"] in members and (r["repeat"], r["fold"]) == key.key[1:]]
    first = receipts[0]
    stated = first["calibration"]["stated_at"]
    probability = prior_correction(expit(score), float(label.mean()), stated)
    frame = tables[0].assign(
        recipe=key.recipe, score=score, probability_raw=expit(score), probability=probability
    )
    rules = [rule for rule in run.thresholds[members[0], key.repeat, key.fold] if rule != "default"]
    thresholds = {rule: parse_rule(rule).learn(own, label, stated) for rule in rules}
    seconds = {step: sum(r["seconds"][step] for r in receipts) for step in ("fit", "predict")}
    receipt = {
        **first,
        **dict(zip(("recipe", "repeat", "fold"), key.key, strict=True)),
        "learned_rows": len(row),
        "seconds": seconds,
        "stacked": dict(zip(members, stack.weights.tolist(), strict=True)),
        "params": {"model": {}, "balance": {}},
    }
    inner_frame = pd.DataFrame({"row": row, "label": label, "score": own})
    return Result(frame, {"default": 0.0, **thresholds}, receipt, inner_frame)


def _test_rows(run: Run, recipe: str, key: Key) -> pd.DataFrame:
    table = run.predictions
    own = (table["recipe"] == recipe) & (table["repeat"] == key.repeat) & (table["fold"] == key.fold)
    return table[own].sort_values("row").reset_index(drop=True)
