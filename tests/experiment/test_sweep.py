"""Several imbalances: a run each, one summary, one figure."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import raresight as rs
from raresight.cli.app import app
from raresight.cli.console import guarded
from raresight.errors import OptionError, RunError

FAST = {"models": ["svm", "logistic"], "balance": ["none", "random-over"], "folds": 3, "inner_folds": 2}


@pytest.fixture(scope="module")
def sweep(small_set: Path, tmp_path_factory: pytest.TempPathFactory) -> rs.Sweep:
    out = tmp_path_factory.mktemp("sweep") / "s"
    return rs.compare_imbalances(rs.load(small_set), **FAST, imbalance=[5, 2], out=out)


def test_each_ratio_is_a_run_of_its_own_on_the_same_test_folds(
    sweep: rs.Sweep, small_set: Path, tmp_path: Path
):
    assert [entry["run"] for entry in sweep.summary["ratios"]] == ["imbalance-2", "imbalance-5"]
    two, five = (run.predictions for run in sweep.runs.values())
    assert (two[["recipe", "row", "fold"]] == five[["recipe", "row", "fold"]]).all().all()
    alone = rs.compare(rs.load(small_set), **FAST, imbalance=5, out=tmp_path / "alone")
    for part in (alone.path / "predictions").iterdir():
        assert part.read_bytes() == (sweep.runs[5.0].path / "predictions" / part.name).read_bytes()


def test_the_summary_repeats_the_runs_gains(sweep: rs.Sweep):
    gains = sweep.summary["gains"]
    assert len(gains) == 2 * 2 * 3
    for gain in gains:
        metrics = sweep.runs[gain["imbalance"]].metrics
        cells = {r["recipe"]: r["metrics"][gain["metric"]]["mean"] for r in metrics["recipes"]}
        against = gain["recipe"].replace("+random-over", "+none")
        assert gain["difference"] == pytest.approx(cells[gain["recipe"]] - cells[against])
        assert gain["low"] <= gain["difference"] <= gain["high"]


def test_the_same_command_resumes_and_another_is_refused(sweep: rs.Sweep, small_set: Path):
    lost = sweep.path / "imbalance-5" / "predictions" / "svm@embedding+random-over-r0-f1.parquet"
    content, summary = lost.read_bytes(), (sweep.path / "sweep.json").read_bytes()
    lost.unlink()
    rs.compare_imbalances(rs.load(small_set), **FAST, imbalance=[2, 5], out=sweep.path)
    assert lost.read_bytes() == content and (sweep.path / "sweep.json").read_bytes() == summary
    with pytest.raises(RunError, match="made by another command"):
        rs.compare_imbalances(rs.load(small_set), **FAST, imbalance=[2, 6], out=sweep.path)
    with pytest.raises(RunError, match="is not a sweep"):
        rs.compare_imbalances(rs.load(small_set), **FAST, imbalance=[2, 5], out=sweep.path / "imbalance-5")


def test_the_report_shows_the_figure_and_links_the_runs(sweep: rs.Sweep):
    page = rs.write_sweep(sweep).read_text()
    assert page.count("<svg") == 1 and 'href="imbalance-5/report.html"' in page
    for text in ("Sensitivity, default threshold", "Sens. at 95 % spec.", "AUROC"):
        assert text in page
    assert not re.search(r"https?://", page)
    assert (sweep.path / "figures" / "sweep.png").stat().st_size > 10_000
    assert "| svm@embedding+random-over |" in rs.write_sweep(sweep, format="md").read_text().replace("\\", "")
    assert rs.write_sweep(sweep).read_text() == page
    with pytest.raises(OptionError, match="html, md"):
        rs.write_sweep(sweep, format="tex")


@pytest.mark.parametrize("ratios", [[], [5, 5], [0.5, 2]])
def test_ratios_that_cannot_be_swept_are_refused(ratios: list[float], small_set: Path, tmp_path: Path):
    with pytest.raises(OptionError, match="imbalance"):
        rs.compare_imbalances(rs.load(small_set), **FAST, imbalance=ratios, out=tmp_path / "s")


def test_several_ratios_on_the_command_line_make_a_sweep(small_set: Path, tmp_path: Path, capsys):
    command = ["compare", str(small_set), "--models", "logistic", "--balance", "none,random-over"]
    command += ["--folds", "2", "--inner-folds", "2", "--imbalance", "2,4", "--out", str(tmp_path / "s")]
    assert guarded(app, [*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["report"] == str(tmp_path / "s" / "report.html") and len(document["gains"]) == 6
    assert (tmp_path / "s" / "imbalance-4" / "report.html").is_file()
    assert guarded(app, command) == 0
    out = capsys.readouterr().out
    assert "4 : 1" in out and "report:" in out
    assert guarded(app, ["report", str(tmp_path / "s"), "--format", "md"]) == 0
    assert guarded(app, [*command[:-3], "2,many"]) == 2
    assert "cannot read --imbalance" in capsys.readouterr().err
