"""A recipe whose training fails is left out and named; the others go on."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import raresight as rs
from raresight.cli.app import app
from raresight.cli.console import guarded
from raresight.detect.classical import Logistic
from raresight.errors import DataError, RaresightError, RunError
from raresight.experiment import carry
from raresight.experiment.workers import Lost
from raresight.report import write_report

OPTIONS = {"models": ["logistic", "svm"], "balance": ["none"], "folds": 3, "inner_folds": 2}


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what a test puts in a detector's place be seen by the tasks."""

    def called(function, calls, workers):
        yield from ((number, function(*call)) for number, call in enumerate(calls))

    monkeypatch.setattr(carry, "run_in_workers", called)


def break_logistic(monkeypatch: pytest.MonkeyPatch, error: Exception, works: int = 0) -> None:
    """Make every fit fail after the first so many; a fold takes three."""
    fit, calls = Logistic.fit, []

    def failing(self, *args, **kwargs):
        calls.append(1)
        if len(calls) > works:
            raise error
        return fit(self, *args, **kwargs)

    monkeypatch.setattr(Logistic, "fit", failing)


def test_the_others_go_on_and_the_same_call_tries_again(small_set: Path, tmp_path: Path, monkeypatch):
    said: list[str] = []
    with monkeypatch.context() as broken:
        break_logistic(broken, RaresightError("training diverged"), works=3)
        run = rs.compare(rs.load(small_set), **OPTIONS, out=tmp_path / "run", say=said.append)
    failed = pd.read_csv(run.path / "failed.csv")
    assert failed["recipe"].tolist() == ["logistic@embedding+none"] * 2
    assert failed["fold"].tolist() == [1, 2] and set(failed["reason"]) == {"training diverged"}
    assert [row["model"] for row in run.metrics["recipes"]] == ["svm"]
    assert set(run.predictions["recipe"]) == {"svm@embedding+none"} and len(run.receipts) == 3
    sentence = "logistic@embedding+none is left out: it failed in 2 fold(s) (training diverged)"
    assert any(sentence in each for each in said)
    assert any(sentence in each for each in run.metrics["sentences"])
    assert "is left out" in write_report(run).read_text()

    finished = {p: p.stat().st_mtime_ns for p in (run.path / "predictions").iterdir()}
    again = rs.compare(rs.load(small_set), **OPTIONS, out=tmp_path / "run")
    assert not again.failed and not (again.path / "failed.csv").exists()
    assert {row["model"] for row in again.metrics["recipes"]} == {"logistic", "svm"}
    assert not any("left out" in each for each in again.metrics["sentences"])
    assert len(finished) == 4 and all(path.stat().st_mtime_ns == time for path, time in finished.items())


def test_where_all_fail_the_run_does(small_set: Path, tmp_path: Path, monkeypatch):
    break_logistic(monkeypatch, RaresightError("training diverged"))
    with pytest.raises(RunError, match=r"every recipe failed; logistic@embedding\+none .*training diverged"):
        rs.compare(rs.load(small_set), **{**OPTIONS, "models": ["logistic"]}, out=tmp_path / "run")
    assert len(pd.read_csv(tmp_path / "run" / "failed.csv")) == 3


def test_a_defect_fails_alone_and_says_where(small_set: Path, tmp_path: Path, monkeypatch, capsys):
    break_logistic(monkeypatch, ZeroDivisionError("division by zero"), works=3)
    command = ["compare", str(small_set), "--models", "logistic,svm", "--balance", "none", "--folds", "3"]
    out = tmp_path / "run"
    assert guarded(app, [*command, "--inner-folds", "2", "--out", str(out)]) == 1
    said = capsys.readouterr()
    assert "ZeroDivisionError: division by zero" in said.err and "svm@embedding+none" in said.out
    assert {row["reason"] for row in rs.Run(out).failed} == {"ZeroDivisionError: division by zero"}
    traces = sorted(path.read_text() for path in (out / "failures").iterdir())
    assert len(traces) == 2 and all("failing" in trace for trace in traces)
    monkeypatch.undo()
    assert guarded(app, [*command, "--inner-folds", "2", "--out", str(out)]) == 0
    assert not (out / "failures").exists()


def test_a_task_whose_worker_dies_is_named(small_set: Path, tmp_path: Path, monkeypatch):
    def called(function, calls, workers):
        yield from ((n, Lost() if n == 0 else function(*call)) for n, call in enumerate(calls))

    monkeypatch.setattr(carry, "run_in_workers", called)
    run = rs.compare(rs.load(small_set), **OPTIONS, out=tmp_path / "run")
    assert [row["reason"] for row in run.failed] == [Lost.reason]
    assert [row["model"] for row in run.metrics["recipes"]] == ["svm"]


def test_what_the_user_can_mend_ends_the_comparison(small_set: Path, tmp_path: Path, monkeypatch):
    break_logistic(monkeypatch, DataError("labels are missing"))
    with pytest.raises(DataError, match="labels are missing"):
        rs.compare(rs.load(small_set), **OPTIONS, out=tmp_path / "run")
