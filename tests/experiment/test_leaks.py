"""Each way in which test rows could teach raises `LeakageError` when it is tried."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import raresight as rs
from raresight.balance.plan import SynthesisPlan
from raresight.errors import LeakageError
from raresight.experiment import task as task_module
from raresight.experiment.inner import InnerScores, fit_with_inner
from raresight.experiment.protocol import Protocol
from raresight.experiment.recipe import Recipe, make_recipes
from raresight.experiment.task import Task, run_task
from raresight.images.splits import Split, check_groups
from raresight.images.store import ImageStore, build_store

PROTOCOL = Protocol(folds=3, inner_folds=2)


@pytest.fixture(scope="module")
def store(small_set: Path) -> ImageStore:
    return build_store(rs.load(small_set))


@pytest.fixture(scope="module")
def split(store: ImageStore) -> Split:
    return next(PROTOCOL.splits(store.manifest.y, store.manifest.groups()))


def attempt(store: ImageStore, split: Split, groups: np.ndarray | None = None, balance: str = "none"):
    task = Task(make_recipes(["logistic"], [balance])[0], split)
    return run_task(task, store, store.manifest.groups() if groups is None else groups, PROTOCOL)


def test_a_group_in_two_folds(store: ImageStore, split: Split):
    groups = store.manifest.groups().copy()
    groups[split.test[0]] = groups[split.train[0]]
    with pytest.raises(LeakageError, match="1 group"):
        check_groups(groups, split.train, split.test)
    with pytest.raises(LeakageError, match="1 group"):
        attempt(store, split, groups)


def test_a_parent_outside_the_fold(store: ImageStore, split: Split, monkeypatch: pytest.MonkeyPatch):
    from raresight.experiment.balancing import Balancing

    def reaching_out(self: Balancing, space: object, X: np.ndarray, y: np.ndarray) -> SynthesisPlan:
        outside = np.array([len(X)])
        return SynthesisPlan(outside, outside, np.zeros(1, np.float32), y[:1], np.arange(len(X)))

    monkeypatch.setattr(Balancing, "plan", reaching_out)
    with pytest.raises(LeakageError, match="not in the training fold"):
        attempt(store, split, balance="smote")


@pytest.mark.parametrize(
    "leak", ["all test rows", "one test row", "a row of a test row's group", "a dropped row"]
)
def test_a_threshold_fitted_on_test_scores(
    leak: str, store: ImageStore, split: Split, monkeypatch: pytest.MonkeyPatch
):
    groups = store.manifest.groups().copy()
    train = split.train[1:]
    rows = {
        "all test rows": split.test,
        "one test row": np.append(train, split.test[0]),
        "a row of a test row's group": train,
        "a dropped row": np.append(train, split.train[0]),
    }[leak]

    def cheating(recipe: Recipe, store: ImageStore, groups: np.ndarray, train: np.ndarray, *rest: int):
        fitted, _ = fit_with_inner(recipe, store, groups, train, *rest)
        if leak == "a row of a test row's group":
            groups[train[0]] = groups[split.test[0]]
        return fitted, InnerScores(rows, fitted.score(store, rows), store.manifest.y[rows])

    monkeypatch.setattr(task_module, "fit_with_inner", cheating)
    with pytest.raises(LeakageError, match="learn from the scores of"):
        attempt(store, Split(0, 0, train, split.test), groups)


def test_an_honest_task_says_what_its_thresholds_learned_from(store: ImageStore, split: Split):
    receipt = attempt(store, split).receipt
    assert receipt["learned_rows"] == len(split.train) and receipt["learned_outside"] == 0
