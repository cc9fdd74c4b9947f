"""The leaky twin: wrong on purpose, apart from everything else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import raresight as rs
from raresight.experiment.leaky import LeakyTask, changes_rows, leaky_tasks, run_leaky
from raresight.experiment.protocol import Protocol
from raresight.experiment.recipe import make_recipes
from raresight.images.store import build_store

FAST = {
    "models": ["svm"],
    "balance": ["none", "smote", "class-weight"],
    "folds": 3,
    "inner_folds": 2,
    "imbalance": 2,
}


@pytest.fixture(scope="module")
def run(noise_set: Path, tmp_path_factory: pytest.TempPathFactory) -> rs.Run:
    """Nothing can be learned here, so whatever the leaky twin finds is the leak."""
    return rs.compare(rs.load(noise_set), **FAST, leaky_twin=True, out=tmp_path_factory.mktemp("l") / "r")


def test_only_recipes_that_change_rows_have_a_twin():
    recipes = make_recipes(
        ["logistic"], ["none", "smote", "random-under", "enn", "threshold", "class-weight"]
    )
    assert [changes_rows(recipe) for recipe in recipes] == [False, True, True, True, False, False]
    tasks = leaky_tasks(recipes, Protocol(folds=3, repeats=2))
    assert len(tasks) == 3 * 3 * 2


def test_the_balanced_set_is_split_and_every_row_tested_once(run: rs.Run):
    table = run.leaky
    assert set(table["recipe"]) == {"svm@embedding+smote"}
    assert sorted(table["row"]) == list(range(80)) and (table["label"].mean()) == 0.5
    assert table["synthetic"].sum() == 20 and (table["file"] == "").sum() == 20
    assert set(table.columns) == {
        *("recipe", "repeat", "fold", "row", "file", "group", "label", "score", "probability"),
        *("threshold", "synthetic", "related"),
    }


def test_noise_is_told_apart_once_it_leaks(run: rs.Run):
    (row,) = run.metrics["leaky"]["recipes"]
    auroc = row["metrics"]["auroc"]
    assert auroc["honest"] < 0.6 and auroc["leaky"] > 0.8
    assert auroc["inflation"] == pytest.approx(auroc["leaky"] - auroc["honest"])
    assert row["metrics"]["sensitivity"]["inflation"] > 0.5 and row["rows"] == 80
    assert "points" in run.metrics["leaky"]["sentences"][0]


def test_a_test_row_is_related_where_a_training_row_has_a_parent_in_common(small_set: Path):
    store = build_store(rs.load(small_set))
    recipe = make_recipes(["logistic"], ["random-over"])[0]
    table = run_leaky(LeakyTask(recipe, 0, 0), store, Protocol(folds=40, imbalance=4))
    # Ten anomalies become forty rows, of which one is tested: its copies are trained on.
    assert table.loc[table["label"] == 1, "related"].all()
    assert not table.loc[table["label"] == 0, "related"].any()


def test_nothing_of_it_enters_the_honest_evidence(run: rs.Run, noise_set: Path, tmp_path: Path):
    plain = rs.compare(rs.load(noise_set), **FAST, out=tmp_path / "plain")
    assert plain.settings["identity"] == run.settings["identity"]
    assert "leaky" not in plain.metrics and plain.leaky is None
    assert plain.verdicts == run.verdicts
    for key in ("recipes", "effects", "sentences"):
        mine, theirs = (_without_seconds(r.metrics[key]) for r in (run, plain))
        assert mine == theirs
    again = rs.compare(rs.load(noise_set), **FAST, leaky_twin=True, workers=1, out=plain.path)
    assert again.metrics["leaky"] == run.metrics["leaky"]
    for part in sorted((run.path / "leaky").glob("*.parquet")):
        assert part.read_bytes() == (plain.path / "leaky" / part.name).read_bytes()


def _without_seconds(rows: list) -> list:
    return [
        {k: v for k, v in row.items() if k != "seconds"} if isinstance(row, dict) else row for row in rows
    ]


def test_a_network_has_a_leaky_twin_too(small_set: Path):
    store = build_store(rs.load(small_set))
    recipe = make_recipes(["cnn[epochs=1,members=1]"], ["smote"])[0]
    table = run_leaky(LeakyTask(recipe, 0, 1), store, Protocol(folds=3))
    assert np.isfinite(table["score"]).all() and table["synthetic"].any()


def test_the_report_says_what_the_leak_is_worth(run: rs.Run):
    page = rs.write_report(run).read_text()
    assert "What a leak would have been worth" in page and "Wrong on purpose" in page
    for form in ("md", "tex"):
        assert "leak would have been worth" in rs.write_report(run, format=form).read_text()
