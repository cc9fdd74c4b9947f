from __future__ import annotations

import json
from pathlib import Path

import raresight as rs
from raresight.cli.app import app
from raresight.cli.console import guarded
from raresight.experiment.listed import list_runs
from raresight.experiment.run import locked


def test_runs_are_listed_with_progress_failures_and_costs(noise_set: Path, tmp_path: Path, capsys):
    run = rs.compare(
        rs.load(noise_set),
        models=["logistic"],
        balance=["none", "smote"],
        folds=3,
        out=tmp_path / "a" / "run",
    )
    (found,) = list_runs(tmp_path)
    assert (found.state, found.done, found.tasks, found.failures) == ("finished", 6, 6, [])
    assert set(found.seconds) == {"prepare", "fit", "predict"} and min(found.seconds.values()) > 0
    assert found.bytes["predictions"] == sum(p.stat().st_size for p in (run.path / "predictions").iterdir())
    assert found.bytes["store"] > 0

    (run.path / "predictions" / "logistic@embedding+none-r0-f0.parquet").unlink()
    (found,) = list_runs(run.path)
    assert (found.state, found.done) == ("unfinished", 5)
    with locked(run.path):
        assert list_runs(tmp_path)[0].state == "running"
    reason = "ValueError: no"
    (run.path / "failed.csv").write_text(f"recipe,repeat,fold,reason\nlogistic@embedding+none,0,0,{reason}\n")
    assert guarded(app, ["runs", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "failed" in shown and reason in shown and "5/6" in shown
    assert guarded(app, ["runs", str(tmp_path), "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["runs"]
    assert told["failures"][0]["reason"] == reason and told["state"] == "failed"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path, capsys):
    assert guarded(app, ["runs", str(tmp_path / "none")]) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_what_a_killed_process_had_begun_to_write_is_swept(noise_set: Path, tmp_path: Path):
    options = {"models": ["logistic"], "balance": ["none"], "folds": 3, "out": tmp_path / "r"}
    run = rs.compare(rs.load(noise_set), **options)
    (run.path / "predictions" / ".logistic.parquet-abc123").write_bytes(b"half")
    rs.compare(rs.load(noise_set), **options)
    assert not list(run.path.glob("*/.*")) and len(list((run.path / "predictions").iterdir())) == 3
