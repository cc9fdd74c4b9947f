"""``--by`` of a comparison: subgroups kept with the run, told in metrics and report, and nothing finer."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

import raresight as rs
from raresight.errors import OptionError

SET = "phantom:brain?n=60&anomalies=0.4&difficulty=0&size=64&seed=2"
OPTIONS = {"representation": "pixels[size=16]", "size": 64, "folds": 2, "workers": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("by") / "run"
    rs.compare(rs.load(SET), ["logistic"], ["none"], **OPTIONS, out=out)
    return out


def test_subgroups_come_to_a_finished_run_without_training_again(folder: Path):
    assert "subgroups" not in rs.Run(folder).metrics
    made = {p: p.stat().st_mtime_ns for p in (folder / "predictions").iterdir()}
    run = rs.compare(rs.load(SET), ["logistic"], ["none"], **OPTIONS, out=folder, by=["sex", "age:20"])
    assert {p: p.stat().st_mtime_ns for p in (folder / "predictions").iterdir()} == made
    columns = run.metrics["subgroups"]["columns"]
    assert [c["column"] for c in columns] == ["sex", "age:20"]
    assert sum(level["images"] for level in columns[1]["levels"]) == 60
    assert [level["level"] for level in columns[0]["levels"]] == ["F", "M"]
    kept = pd.read_parquet(folder / "subgroups.parquet")
    assert list(kept) == ["row", "sex", "age:20"] and kept["age:20"].str.contains("–").all()
    assert json.loads((folder / "metrics.json").read_text())["subgroups"] == run.metrics["subgroups"]


def test_the_report_has_them(folder: Path, tmp_path: Path):
    run = rs.compare(rs.load(SET), ["logistic"], ["none"], **OPTIONS, out=folder, by=["sex", "age:20"])
    page = rs.write_report(run, tmp_path / "report.html").read_text()
    assert "<h2>Subgroups</h2>" in page and "Too few to say" in page and "20–39" in page
    some = rs.write_report(run, tmp_path / "some.md", by=["sex"]).read_text()
    assert "## Subgroups" in some and "| F |" in some and "20–39" not in some
    with pytest.raises(OptionError, match="keeps no subgroups by site; run the same compare command with"):
        rs.write_report(run, tmp_path / "none.md", by=["site"])


def test_several_classes_have_none(tmp_path: Path):
    rows = [{"file": f"{i}.png", "label": "abc"[i % 3], "sex": "F"} for i in range(6)]
    for row in rows:
        Image.new("L", (8, 8)).save(tmp_path / row["file"])
    pd.DataFrame(rows).to_csv(tmp_path / "labels.csv", index=False)
    with pytest.raises(OptionError, match="--by judges normal against anomalous"):
        rs.compare(rs.load(tmp_path, task="multiclass"), ["logistic"], ["none"], by=["sex"])
