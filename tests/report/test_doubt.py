"""The report's section on how sure one answer is."""

from __future__ import annotations

import numpy as np
import pytest

import raresight as rs
from raresight.errors import RunError
from raresight.evidence.risk_coverage import aurc
from raresight.report.context import gather
from raresight.report.doubt import doubt_context, without_doubt
from raresight.report.page import page
from raresight.report.write import write_report


@pytest.fixture(scope="module")
def markdown(shared_run, tmp_path_factory):
    return write_report(shared_run, tmp_path_factory.mktemp("report") / "report.md").read_text()


def test_every_recipe_and_class_has_a_row(shared_run):
    found = gather(shared_run)[0]["doubt"]
    assert [(row["recipe"], row["class"]) for row in found["conformal"]] == [
        (recipe["id"], name) for recipe in shared_run.settings["recipes"] for name in ("normal", "anomalous")
    ]
    for row in found["conformal"]:
        assert 0 < row["promised"] <= row["alpha"] and 0 <= row["mistaken"]["mean"] <= row["broken"]["mean"]
    assert not found["left_out"]


def test_risk_is_that_of_the_calibrated_answers(shared_run):
    row = gather(shared_run)[0]["doubt"]["answered"][0]
    own = shared_run.predictions[shared_run.predictions["recipe"] == row["recipe"]]
    cut = shared_run.thresholds[row["recipe"], 0, 0]["default"]
    flagged = own["score"].to_numpy() >= cut
    p = own["probability"].to_numpy()
    error = flagged != own["label"].to_numpy()
    assert row["all"] == pytest.approx(error.mean())
    assert row["aurc"] == pytest.approx(aurc(error, np.where(flagged, 1 - p, p)))


def test_markdown_has_the_section_and_its_figure(markdown):
    section = markdown.partition("## How sure is one answer?")[2].partition("\n## ")[0]
    assert section.count("| normal |") == section.count("| anomalous |") == 4
    assert "figures/risk-coverage.svg" in markdown


def test_the_page_is_escaped(shared_run):
    context, _ = gather(shared_run)
    doubt = without_doubt("<b>&")
    text = page("html", "doubt.html.j2", {"doubt": doubt, "pictures": {}, "called": context["called"]})
    assert "&lt;b&gt;&amp;" in text and "<b>" not in text


def test_a_run_without_inner_scores_or_probabilities_says_so(phantom_run, monkeypatch):
    def gone(*_):
        raise RunError("the run keeps no inner scores; run it anew")

    _, material = gather(phantom_run)
    monkeypatch.setattr(phantom_run, "inner", gone)
    found = doubt_context(phantom_run, material)
    assert found["conformal"] == found["answered"] == []
    assert found["left_out"] == [("rf@embedding+none", "the run keeps no inner scores; run it anew")]
    assert "run it anew" in write_report(phantom_run, phantom_run.path / "report.html").read_text()


def test_a_detector_that_no_anomaly_calibrates_is_left_out(phantom_run, monkeypatch):
    whole = phantom_run.inner
    monkeypatch.setattr(phantom_run, "inner", lambda *key: whole(*key).query("label == 0"))
    (left,) = gather(phantom_run)[0]["doubt"]["left_out"]
    assert "anomalous patients" in left[1] and "there are 0" in left[1]


def test_a_raised_rate_is_noted(phantom_run, monkeypatch):
    whole = phantom_run.inner
    few = [f"patient-{i}-secret" for i in range(24)]
    monkeypatch.setattr(phantom_run, "inner", lambda *key: whole(*key)[lambda t: t["group"].isin(few)])
    found = gather(phantom_run)[0]["doubt"]
    assert {row["alpha"] for row in found["conformal"]} == {0.1}
    assert "at an error rate of .10, since an error rate of 0.05 needs 19" in found["notes"][0]


def test_a_real_run_knows_the_patients_of_its_inner_scores(patient_set, tmp_path):
    run = rs.compare(
        rs.load(patient_set, normal=["normal"]),
        ["logistic"],
        ["none"],
        representation="pca[components=5,size=40]",
        folds=2,
        inner_folds=2,
        groups="patient",
        size=40,
        workers=1,
        out=tmp_path / "run",
    )
    recipe = run.predictions["recipe"].iloc[0]
    known = run.predictions.set_index("row")["group"]
    for fold in range(2):
        inner = run.inner(recipe, 0, fold)
        assert (inner["group"].to_numpy() == known[inner["row"]].to_numpy()).all()
        assert not set(inner["group"]) & set(run.predictions.query("fold == @fold")["group"])
    found = gather(run)[0]["doubt"]
    assert {(row["class"], row["patients"]) for row in found["conformal"]} == {
        ("normal", 20),
        ("anomalous", 12),
    }
    assert {row["alpha"] for row in found["conformal"]} == {0.2}  # six anomalous patients promise no .1
