"""Explanations that a run keeps stand in its report."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from raresight.cli.explain import explain
from raresight.errors import OptionError, RunError
from raresight.report.kept_explanations import explained_context, explained_folder
from raresight.report.write import write_report


def keep(folder_of_run, recipe: str, sentence: str) -> None:
    folder = explained_folder(folder_of_run, recipe)
    folder.mkdir(parents=True)
    told = {"recipe": {"id": recipe}, "sentences": [sentence], "notes": ["And a note."]}
    (folder / "explained.json").write_text(json.dumps(told))
    Image.new("RGB", (40, 20), "navy").save(folder / "sheet.jpg")


def test_a_run_without_explanations_has_no_section(run, tmp_path):
    assert explained_context(tmp_path) == []
    assert "Where does it look?" not in write_report(run, tmp_path / "report.html").read_text()


def test_each_recipe_explained_is_shown(run):
    keep(run.path, "svm@embedding+none", "Hits <b>90%</b>.")
    keep(run.path, "rf[n_estimators=9]@embedding+none", "Misses.")
    found = explained_context(run.path)
    assert {each["recipe"] for each in found} == {"svm@embedding+none", "rf[n_estimators=9]@embedding+none"}
    page = write_report(run, run.path / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") >= 2 and "Hits &lt;b&gt;90%&lt;/b&gt;. And a note." in page
    text = write_report(run, run.path / "report.md").read_text()
    assert "](explained/svm@embedding+none/sheet.jpg)" in text
    (run.path / "explained" / "svm@embedding+none" / "sheet.jpg").unlink()
    assert [each["recipe"] for each in explained_context(run.path)] == ["rf[n_estimators=9]@embedding+none"]


def test_a_run_on_another_set_is_refused_before_training(tmp_path):
    with pytest.raises(RunError, match="not a run"):
        explain("phantom:brain?n=12&anomalies=0.5", run=tmp_path)
    (tmp_path / "run.json").write_text(json.dumps({"data": {"name": "scans"}}))
    with pytest.raises(OptionError, match="is a run on scans"):
        explain("phantom:brain?n=12&anomalies=0.5", run=tmp_path)
    with pytest.raises(OptionError, match="leave out --out, or --run"):
        explain("phantom:brain?n=12&anomalies=0.5", run=tmp_path, out=tmp_path / "other")
