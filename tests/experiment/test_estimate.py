"""What a grid will cost, from one task of each kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import raresight as rs
from raresight.cli.app import app
from raresight.cli.console import guarded
from raresight.experiment.estimate import estimate_compare, makespan


@pytest.mark.parametrize(
    ("seconds", "workers", "expected"),
    [([3, 1, 1, 1], 2, 3), ([1, 1, 1, 3], 2, 4), ([2, 2, 2], 1, 6), ([5], 4, 5), ([], 2, 0)],
)
def test_makespan_is_of_tasks_handed_out_in_order(seconds, workers, expected):
    assert makespan(seconds, workers) == expected


def test_one_task_of_each_kind_is_timed_and_kept(small_set: Path, tmp_path: Path):
    options = {"models": ["logistic"], "balance": ["none", "smote"], "folds": 3, "inner_folds": 2}
    cost = estimate_compare(rs.load(small_set), **options, workers=2, out=tmp_path / "run")
    assert sorted((kind.recipe, kind.tasks) for kind in cost.kinds) == [
        ("logistic@embedding+none", 3),
        ("logistic@embedding+smote", 3),
    ]
    kept = sorted(path.name for path in (tmp_path / "run" / "predictions").iterdir())
    assert cost.done == len(kept) == 2 and all(name.endswith("r0-f0.parquet") for name in kept)
    assert not (tmp_path / "run" / "metrics.json").exists()
    assert set(cost.hours) == {"1", "2"} and cost.hours["1"] > cost.hours["2"] > 0
    tasks = sum(kind.tasks * kind.seconds for kind in cost.kinds)
    assert 3600 * cost.hours["1"] == pytest.approx(tasks + cost.prepare + cost.weigh + cost.start)
    assert 2e8 < cost.memory < 2e10
    when = {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "predictions").iterdir()}
    run = rs.compare(rs.load(small_set), **options, out=tmp_path / "run")
    assert len(run.receipts) == 6 and all(path.stat().st_mtime_ns == old for path, old in when.items())


def test_the_command_tells_it(noise_set: Path, tmp_path: Path, capsys):
    command = [
        "compare",
        str(noise_set),
        "--models",
        "logistic",
        "--folds",
        "3",
        "--out",
        str(tmp_path / "run"),
    ]
    assert guarded(app, [*command, "--estimate"]) == 0
    shown = capsys.readouterr().out
    assert "whole grid:" in shown and "logistic@embedding+smote" in shown and "memory:" in shown
    assert guarded(app, [*command, "--estimate", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["done"] == 2
    assert guarded(app, [*command, "--estimate", "--imbalance", "1,5"]) == 2
