"""A bundle under stress: `raresight stress BUNDLE DATA`."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

import raresight as rs
from raresight.cli.app import app
from raresight.cli.console import guarded
from raresight.deploy.stressed import BundleScorer, stress_bundle
from raresight.errors import OptionError, RunError

NEW = "phantom:brain?n=40&anomalies=0.4&difficulty=0&seed=7"
FEW = {"corruptions": ["gaussian-noise", "contrast"], "severities": [1, 5]}


def test_a_bundle_is_scored_clean_and_corrupted(bundle, tmp_path):
    new = rs.load(NEW)
    found = stress_bundle(bundle, new, out=tmp_path / "s", **FEW)
    (recipe,) = found.summary["recipes"]
    own = rs.Predictor(bundle).predict([new.read(row) for row in range(len(new))])
    expected = roc_auc_score(new.y, [one.score for one in own])
    assert recipe["clean"]["auroc"]["mean"] == pytest.approx(expected, abs=1e-6)
    assert {(c["corruption"], c["severity"]) for c in recipe["conditions"]} == {
        (name, severity) for name in FEW["corruptions"] for severity in FEW["severities"]
    }
    page = rs.write_stress(found).read_text()
    assert "gaussian-noise" in page and "40 corrupted" in page


def test_the_page_speaks_of_a_bundle_and_of_what_it_cannot_know(bundle, tmp_path):
    found = stress_bundle(bundle, rs.load(NEW), out=tmp_path / "s", **FEW)
    page = rs.write_stress(found).read_text()
    assert "bundle " in page and "bundle&#39;s default threshold" in page
    assert "1 recipe" not in page and "1 fold" not in page and "by the rules of raresight compare" not in page
    assert any("copies of them cannot be told" in sentence for sentence in found.summary["sentences"])


def test_probabilities_are_the_bundles_own(bundle):
    new = rs.load(NEW)
    predictor = rs.Predictor(bundle)
    pixels = np.stack([predictor.prepare(new.read(row)) for row in range(5)])
    score, chance = BundleScorer(predictor).score(pixels)
    own = pd.DataFrame([vars_of(one) for one in predictor.predict([new.read(row) for row in range(5)])])
    np.testing.assert_allclose(score, own["score"])
    np.testing.assert_allclose(chance, own["probability"])


def vars_of(one):
    return {"score": one.score, "probability": one.probability}


def test_the_images_it_was_trained_on_are_refused(bundle, images, tmp_path):
    with pytest.raises(OptionError, match="trained on these very images"):
        stress_bundle(bundle, images, out=tmp_path / "s", **FEW)


def test_the_command_finds_a_finished_test_and_leaves_others_alone(bundle, tmp_path):
    out = tmp_path / "s"
    command = [
        "stress",
        str(bundle),
        NEW,
        "--corruptions",
        "contrast",
        "--severities",
        "3",
        "--out",
        str(out),
    ]
    for _ in range(2):
        assert guarded(app, [*command, "--json"]) == 0
    assert json.loads((out / "run.json").read_text())["stress"]["images"] == 40
    with pytest.raises(RunError, match="something else"):
        stress_bundle(bundle, rs.load(NEW), out=out, **FEW)
    assert guarded(app, ["stress", str(tmp_path), NEW]) == 2
