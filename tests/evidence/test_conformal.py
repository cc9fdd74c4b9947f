"""Conformal prediction against the exact laws of its error rate."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from raresight.errors import DataError, OptionError
from raresight.evidence.conformal import Conformal, error_law, patient_scores
from raresight.evidence.conformal_table import inner_calibration, measure_conformal, other_folds


def patients(rng, count=60, distance=1.5, size=3, shared=0.6):
    """Scores of `count` patients, half of them ill, correlated within a patient."""
    group = np.repeat(np.arange(count), rng.integers(1, size + 1, count))
    label = (group % 2).astype(int)
    own = np.sqrt(shared) * rng.normal(size=count)[group]
    return label, own + np.sqrt(1 - shared) * rng.normal(size=len(group)) + distance * label, group


def test_p_values_and_cuts_by_hand():
    score = [1.0, 2.0, 3.0, 4.0, 3.5, 4.5, 5.5, 6.5]
    made = Conformal.fit([0, 0, 0, 0, 1, 1, 1, 1], score, range(8), 0.2)
    assert made.p_values([2.5])["normal"] == pytest.approx([3 / 5])  # itself, 3 and 4 are at least as high
    assert made.p_values([2.5])["anomalous"] == pytest.approx([1 / 5])  # itself alone is so low
    assert made.cuts == {"normal": 4.0, "anomalous": 3.5}
    assert made.decide([3.4, 3.5, 4.0, 4.1]).tolist() == ["normal", "refer", "refer", "anomalous"]
    assert made.reason(3.5) == "both classes are plausible (normal p = 0.400, anomalous p = 0.400)"


def test_neither_class_is_referred_too():
    made = Conformal.fit([0] * 4 + [1] * 4, [1, 2, 3, 4, 11, 12, 13, 14], range(8), 0.2)
    assert made.decide([4, 7, 11]).tolist() == ["normal", "refer", "anomalous"]
    assert made.reason(7) == "neither class is plausible (normal p = 0.200, anomalous p = 0.200)"
    assert made.reason(4) is None and made.reason(11) is None


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.37])
def test_cuts_agree_with_p_values(alpha):
    rng = np.random.default_rng(3)
    label, score, group = patients(rng)
    score = np.round(score, 1)  # with ties
    made = Conformal.fit(label, score, group, alpha)
    seen = np.round(rng.normal(0.7, 2, 500), 1)
    for name, p in made.p_values(seen).items():
        assert (made.plausible(seen)[name] == (p > alpha + 1e-12)).all()


def test_p_values_are_uniform_over_their_steps():
    """Without ties, the p-value of a new patient of the class is uniform over 1/(n + 1) … 1."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(2000):
        draw = rng.normal(size=20)
        made = Conformal.fit([0] * 9 + [1] * 9, draw[:18], range(18), 0.1)
        found.append([made.p_values(draw[18:19])[name][0] for name in ("normal", "anomalous")])
    for column in np.array(found).T:
        steps = np.bincount(np.rint(column * 10).astype(int), minlength=11)[1:]
        assert stats.chisquare(steps).pvalue > 1e-3


def test_error_rate_follows_the_beta_law():
    """The share of a class ruled out has Vovk's Beta(k, n + 1 − k) over calibrations."""
    rng = np.random.default_rng(1)
    rates = []
    for _ in range(800):
        score = rng.normal(size=80)
        made = Conformal.fit([0] * 40 + [1] * 40, score, range(80), 0.1)
        rates.append([stats.norm.cdf(made.cuts["anomalous"]), stats.norm.sf(made.cuts["normal"])])
    for column in np.array(rates).T:
        assert stats.kstest(column, stats.beta(4, 37).cdf).pvalue > 1e-3
    law = error_law(40, 0.1)
    assert law["mean"] == pytest.approx(4 / 41)
    assert (law["low"], law["high"]) == pytest.approx(stats.beta.ppf([0.025, 0.975], 4, 37))


@pytest.mark.parametrize("promise", ["patient", "image"])
def test_patients_keep_the_promise_where_images_do_not(promise):
    """With several images a patient, the error rate by patients is k / (n + 1) within sampling error."""
    rng = np.random.default_rng(2)
    errors = {"normal": [], "anomalous": []}
    for _ in range(400):
        made = Conformal.fit(*patients(rng), 0.1, promise)
        label, score, group = patients(rng)
        for name, number in (("normal", 0), ("anomalous", 1)):
            own = label == number
            tested = patient_scores(score[own], group[own], name, promise)[1]
            errors[name].append(np.mean(~made.plausible(tested)[name]))
    for each in errors.values():
        expected = 3 / 31  # 30 patients a class
        assert np.mean(each) == pytest.approx(expected, abs=4 * np.std(each) / 400**0.5)


def test_maximum_for_the_patient_minimum_for_the_image():
    patients, score = patient_scores(np.array([1.0, 5, 2, 7]), np.array([0, 0, 1, 1]), "anomalous", "patient")
    assert (patients.tolist(), score.tolist()) == ([0, 1], [5.0, 7.0])
    assert patient_scores(np.array([1.0, 5]), np.array([0, 0]), "anomalous", "image")[1].tolist() == [1.0]
    assert patient_scores(np.array([1.0, 5]), np.array([0, 0]), "normal", "image")[1].tolist() == [5.0]


def test_too_few_patients_are_refused():
    label, group = [0] * 30 + [1] * 40, [*range(30), *(30 + i // 4 for i in range(40))]
    score = np.arange(70.0)
    with pytest.raises(OptionError, match="needs 19 anomalous .* there are 10; choose at least 0.091 "):
        Conformal.fit(label, score, group, {"normal": 0.05, "anomalous": 0.05})
    Conformal.fit(label, score, group, {"normal": 0.05, "anomalous": 0.091})
    Conformal.fit([0] * 19 + [1] * 19, range(38), range(38), 0.05)  # n = 1/α − 1 is enough
    with pytest.raises(OptionError, match="needs 9 anomalous patients .* there are 0; bring more"):
        Conformal.fit([0] * 30, score[:30], range(30), 0.1)


@pytest.mark.parametrize("alpha", [0, 1, -0.1, float("nan")])
def test_a_rate_out_of_range_is_refused(alpha):
    with pytest.raises(OptionError, match="out of range"):
        Conformal.fit([0, 1], [0, 1], [0, 1], alpha)


def test_what_does_not_fit_is_refused():
    with pytest.raises(DataError, match="differ in number"):
        Conformal.fit([0, 1], [0.0], [0, 1], 0.5)
    with pytest.raises(DataError, match="not a finite number"):
        Conformal.fit([0, 1], [0.0, np.nan], [0, 1], 0.5)
    with pytest.raises(OptionError, match="unknown promise"):
        Conformal.fit([0, 1], [0, 1], [0, 1], 0.5, "slice")
    with pytest.raises(DataError, match="not a conformal calibration"):
        Conformal.from_dict({"alpha": 0.1})


def test_a_score_that_is_no_number_is_referred():
    made = Conformal.fit([0] * 4 + [1] * 4, range(8), range(8), 0.2)
    assert made.decide([np.nan]).tolist() == ["refer"]


def test_json_and_back():
    made = Conformal.fit(*patients(np.random.default_rng(5)), 0.1)
    again = Conformal.from_dict(json.loads(json.dumps(made.to_dict())))
    seen = np.linspace(-3, 5, 200)
    assert (again.decide(seen) == made.decide(seen)).all()
    assert again.guarantee() == made.guarantee()


def test_deciding_needs_numpy_only():
    code = (
        "import sys; from raresight.evidence.conformal import Conformal; "
        "Conformal.fit([0]*9+[1]*9, range(18), range(18), .1).decide([3.]); "
        "print([m for m in ('scipy', 'torch', 'pandas', 'sklearn') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def run_tables(seed=0, groups=240):
    """Predictions of three folds, and inner scores of the same law."""
    rng = np.random.default_rng(seed)
    label, score, group = patients(rng, groups)
    table = pd.DataFrame(
        {"repeat": 0, "fold": group // 2 % 3, "row": range(len(group)), "group": group, "label": label}
    ).assign(score=score)
    inner = {(0, fold): table[table["fold"] != fold][["row", "label", "score"]] for fold in range(3)}
    return table, inner


def test_a_runs_table_counts_patients():
    table, inner = run_tables()
    found = measure_conformal(table, inner_calibration(table, inner), resamples=200)
    assert found.alpha == 0.05 and found.refused == ""
    for name, number in (("normal", 0), ("anomalous", 1)):
        cell = found.classes[name]
        assert cell["patients"] == table[table["label"] == number]["group"].nunique() == 120
        assert cell["calibrated"] == 80 and cell["promised"] == pytest.approx(4 / 81)
        assert cell["broken"]["low"] < 4 / 81 < cell["broken"]["high"]
        assert cell["mistaken"]["mean"] <= cell["broken"]["mean"]
        assert 0 < cell["referred"]["mean"] < 1


def test_other_folds_never_calibrate_on_their_own_rows():
    table, _ = run_tables()
    for (repeat, fold), rows in other_folds(table).items():
        assert repeat == 0 and not (rows["fold"] == fold).any() and rows["fold"].nunique() == 2


def test_a_small_runs_rate_is_raised_and_said_so():
    table, inner = run_tables(groups=36)  # 12 patients a class to calibrate on
    found = measure_conformal(table, inner_calibration(table, inner), resamples=50)
    assert found.alpha == 0.1 and "0.05 needs 19 normal patients" in found.refused
    with pytest.raises(OptionError, match="needs 19"):
        measure_conformal(table, inner_calibration(table, inner), rates=(0.05,), resamples=50)


def test_inner_rows_of_unknown_patients_are_refused():
    table, inner = run_tables(groups=36)
    with pytest.raises(DataError, match="patients of its inner scores"):
        inner_calibration(table[table["fold"] == 0], inner)
