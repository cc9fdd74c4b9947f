from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import raresight as rs
from raresight.errors import LeakageError, OptionError, RunError
from raresight.evidence.calibration import CALIBRATIONS
from raresight.evidence.prevalence import prior_correction
from raresight.experiment.protocol import Protocol
from raresight.experiment.recipe import make_recipes
from raresight.experiment.run import locked
from raresight.experiment.task import Task, run_task
from raresight.images.splits import Split
from raresight.images.store import build_store

FAST = {"models": ["svm", "logistic"], "balance": ["none", "smote"], "folds": 3, "inner_folds": 2}


def fingerprint(run: rs.Run) -> dict[str, str]:
    return {
        p.name: hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted((run.path / "predictions").iterdir())
    }


@pytest.fixture(scope="module")
def run(small_set: Path, tmp_path_factory: pytest.TempPathFactory) -> rs.Run:
    return rs.compare(rs.load(small_set), **FAST, out=tmp_path_factory.mktemp("run") / "a")


def test_every_image_gets_one_score_a_recipe_and_a_repeat(run: rs.Run):
    counts = run.predictions.groupby(["recipe", "repeat"])["row"].agg(["size", "nunique"])
    assert (counts == 64).all().all() and len(counts) == 4
    columns = "recipe repeat fold row file group label score probability_raw probability"
    assert " ".join(run.predictions.columns) == columns


def test_a_bright_spot_is_found(run: rs.Run):
    assert all(r["metrics"]["auroc"]["mean"] > 0.8 for r in run.metrics["recipes"])


def test_the_receipts_count_no_leak_and_balance_the_classes(run: rs.Run):
    assert len(run.receipts) == 12
    for receipt in run.receipts:
        assert receipt["shared_groups"] == 0 and receipt["parents_outside"] == 0
        added = receipt["train_rows"] - 2 * receipt["train_anomalies"]
        assert receipt["synthetic"] == (added if "smote" in receipt["recipe"] else 0)


def test_thresholds_are_learned_for_every_task(run: rs.Run):
    assert len(run.thresholds) == 12
    expected = ["default", "youden", "f1", "specificity=0.95"]
    assert all(list(rules) == expected for rules in run.thresholds.values())
    assert all(rules["default"] == 0.0 for rules in run.thresholds.values())


def test_the_same_command_gives_the_same_bytes_whatever_the_workers(
    run: rs.Run, small_set: Path, tmp_path: Path
):
    again = rs.compare(rs.load(small_set), **FAST, workers=1, out=tmp_path / "b")
    assert fingerprint(again) == fingerprint(run)


def test_a_finished_run_is_found_again_and_nothing_is_repeated(run: rs.Run, small_set: Path):
    before = {p: p.stat().st_mtime_ns for p in (run.path / "predictions").iterdir()}
    rs.compare(rs.load(small_set), **FAST, out=run.path)
    assert {p: p.stat().st_mtime_ns for p in (run.path / "predictions").iterdir()} == before


def test_without_out_the_same_command_finds_its_run(small_set: Path, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {**FAST, "models": ["logistic"], "balance": ["none"]}
    first = rs.compare(rs.load(small_set), **options)
    assert first.path.parent == Path("runs")
    assert rs.compare(rs.load(small_set), **options).path == first.path
    assert rs.compare(rs.load(small_set), **options, seed=1).path != first.path


def test_a_lost_task_alone_is_done_again(run: rs.Run, small_set: Path):
    before = fingerprint(run)
    lost = run.path / "predictions" / "svm@embedding+smote-r0-f1.parquet"
    lost.unlink()
    times = {p: p.stat().st_mtime_ns for p in (run.path / "predictions").iterdir()}
    again = rs.compare(rs.load(small_set), **FAST, out=run.path)
    assert fingerprint(again) == before
    assert all(p.stat().st_mtime_ns == t for p, t in times.items())


def test_another_commands_folder_is_refused(run: rs.Run, small_set: Path):
    with pytest.raises(RunError, match="made by another command"):
        rs.compare(rs.load(small_set), **{**FAST, "folds": 4}, out=run.path)


def test_a_folder_that_is_not_a_run_is_refused(small_set: Path, tmp_path: Path):
    (tmp_path / "thesis.docx").write_text("precious")
    with pytest.raises(RunError, match="not empty and is not a run"):
        rs.compare(rs.load(small_set), **FAST, out=tmp_path)
    assert (tmp_path / "thesis.docx").read_text() == "precious"


def test_a_file_in_place_of_the_folder_is_refused(small_set: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        rs.compare(rs.load(small_set), **FAST, out=tmp_path / "file")


def test_two_processes_do_not_share_a_run(tmp_path: Path):
    with locked(tmp_path), pytest.raises(RunError, match="another process"), locked(tmp_path):
        pass


def test_an_outlier_planted_in_the_test_fold_changes_nothing_in_training(small_set: Path):
    store = build_store(rs.load(small_set))
    y, groups = store.manifest.y, store.manifest.groups()
    split = next(Protocol(folds=3).splits(y, groups))
    planted = np.array(store.pixels)
    planted[split.test] = 255
    other = type(store)(store.manifest, store.folder.parent / "planted", "planted", store.preprocess)
    other.folder.mkdir(exist_ok=True)
    np.save(other.folder / "pixels.npy", planted)
    for recipe in make_recipes(["svm", "rf"], ["smote"], ["pca", "embedding", "pixels[size=28]"]):
        one, two = (recipe.fit(s, split.train, 0) for s in (store, other))
        assert (one.plan.base == two.plan.base).all() and (one.plan.partner == two.plan.partner).all()
        if one.scaler is not None:
            assert (one.scaler.mean_ == two.scaler.mean_).all()
        if hasattr(one.space, "pca_"):
            assert (one.space.pca_.components_ == two.space.pca_.components_).all()
        assert (one.score(store, split.train) == two.score(other, split.train)).all()


def test_the_scaler_is_fitted_on_real_training_rows_only(small_set: Path):
    store = build_store(rs.load(small_set))
    rows = np.arange(0, 64, 2)
    fitted = make_recipes(["svm"], ["smote"])[0].fit(store, rows, 0)
    assert np.allclose(fitted.scaler.mean_, fitted.space.transform(store, rows).mean(axis=0), atol=1e-5)


def test_a_group_on_both_sides_of_a_task_raises(small_set: Path):
    store = build_store(rs.load(small_set))
    groups = np.array(["same"] * len(store))
    task = Task(make_recipes(["logistic"], ["none"])[0], Split(0, 0, np.arange(30), np.arange(30, 64)))
    with pytest.raises(LeakageError):
        run_task(task, store, groups, Protocol())


def test_patients_stay_together(patient_set: Path, tmp_path: Path):
    options = {**FAST, "models": ["logistic"], "balance": ["smote"]}
    run = rs.compare(rs.load(patient_set), **options, out=tmp_path / "p")
    folds = run.predictions.groupby("group")["fold"].nunique()
    assert len(folds) == 32 and (folds == 1).all()
    plain = rs.compare(rs.load(patient_set), **options, groups="off", out=tmp_path / "off")
    assert plain.predictions["group"].nunique() == 64


def test_imbalance_touches_training_rows_only(small_set: Path, tmp_path: Path):
    run = rs.compare(
        rs.load(small_set),
        models=["logistic"],
        balance=["none", "random-over"],
        folds=3,
        inner_folds=2,
        imbalance=5,
        out=tmp_path / "i",
    )
    assert (run.predictions.groupby("recipe").size() == 64).all()
    for receipt in run.receipts:
        normal = receipt["train_rows"] - receipt["train_anomalies"]
        assert receipt["train_anomalies"] == normal // 5


def test_tuning_chooses_inside_the_training_rows_and_records_what(small_set: Path, tmp_path: Path):
    run = rs.compare(
        rs.load(small_set),
        models=["svm"],
        balance=["smote"],
        folds=2,
        inner_folds=2,
        tune=3,
        out=tmp_path / "t",
    )
    for receipt in run.receipts:
        assert set(receipt["params"]["model"]) == {"C", "width"}
        assert 1 <= receipt["params"]["balance"]["k_neighbors"] <= 15


def test_tuning_leaves_what_the_user_set(small_set: Path, tmp_path: Path):
    run = rs.compare(
        rs.load(small_set),
        models=["svm[C=3]"],
        balance=["smote[k_neighbors=2]"],
        folds=2,
        inner_folds=2,
        tune=2,
        out=tmp_path / "t",
    )
    assert all(
        r["params"]["model"]["C"] == 3 and r["params"]["balance"]["k_neighbors"] == 2 for r in run.receipts
    )


def test_probabilities_are_calibrated_scores_in_their_own_order(run: rs.Run):
    for _, part in run.predictions.groupby(["recipe", "repeat", "fold"]):
        ordered = part.sort_values("score")["probability"]
        assert ordered.is_monotonic_increasing and ordered.between(0, 1).all()


def test_a_run_without_settings_of_its_own_is_calibrated_by_beta(run: rs.Run):
    protocol = run.settings["protocol"]
    assert protocol["calibration"] == "beta" and protocol["prevalence"] is None
    assert protocol["thresholds"] == ["youden", "f1", "specificity=0.95"]


ONE = {"models": ["logistic"], "folds": 2, "inner_folds": 2}


@pytest.mark.parametrize("calibration", list(CALIBRATIONS))
def test_every_calibration_gives_probabilities_in_order(calibration: str, small_set: Path, tmp_path: Path):
    options = {**ONE, "balance": ["class-weight"], "imbalance": 4, "calibration": calibration}
    run = rs.compare(rs.load(small_set), **options, out=tmp_path / "r")
    for _, part in run.predictions.groupby("fold"):
        found = part.sort_values("score")[["probability", "probability_raw"]]
        assert (found["probability"].diff().dropna() >= -1e-12).all()
        assert found["probability"].between(0, 1).all()
    for receipt in run.receipts:
        told = receipt["calibration"]
        assert told["method"] == calibration
        share = receipt["train_anomalies"] / receipt["train_rows"]
        # Class weights teach the detector one half; a calibrator learns from the rows as they are.
        assert told["learned_at"] == pytest.approx(0.5 if calibration == "none" else share)
        assert told["stated_at"] == pytest.approx(24 / 64, abs=0.02)


def test_without_calibration_the_own_probability_is_corrected_for_weights_and_dropped_rows(
    small_set: Path, tmp_path: Path
):
    options = {**ONE, "balance": ["class-weight", "logit-adjustment"], "imbalance": 4, "calibration": "none"}
    run = rs.compare(rs.load(small_set), **options, out=tmp_path / "r")
    stated = {(r["recipe"], r["fold"]): r["calibration"] for r in run.receipts}
    for row in run.predictions.itertuples():
        told = stated[row.recipe, row.fold]
        assert told["learned_at"] == pytest.approx(0.5)
        expected = prior_correction(row.probability_raw, 0.5, told["stated_at"])
        assert row.probability == pytest.approx(float(expected), rel=1e-9)


def test_threshold_rules_and_prevalence_reach_thresholds_and_metrics(small_set: Path, tmp_path: Path):
    rules = ["sensitivity=0.80", "cost=10"]
    balance = ["none", "threshold[rule=specificity=0.9]"]
    options = {**ONE, "balance": balance, "thresholds": rules, "prevalence": 0.02}
    run = rs.compare(rs.load(small_set), **options, out=tmp_path / "r")
    plain, moved = run.metrics["recipes"]
    assert list(plain["at"]) == ["default", "sensitivity=0.8", "cost=10"]
    assert list(moved["at"]) == ["default", "sensitivity=0.8", "cost=10", "specificity=0.9"]
    assert moved["at"]["default"] == moved["at"]["specificity=0.9"] != plain["at"]["default"]
    assert plain["at_prevalence"]["prevalence"] == 0.02
    # A miss in two of a hundred costs ten alarms: at the prevalence stated, not the set's, the cut is higher.
    other = rs.compare(rs.load(small_set), **{**options, "prevalence": 0.7}, out=tmp_path / "s")
    pairs = zip(run.thresholds.values(), other.thresholds.values(), strict=True)
    assert all(a["cost=10"] >= b["cost=10"] for a, b in pairs)
    assert other.settings["identity"] != run.settings["identity"]
    assert (other.predictions["probability"] == run.predictions["probability"]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"calibration": "plat"}, "did you mean 'platt'"),
        ({"thresholds": ("cost",)}, "write cost=10"),
        ({"prevalence": 2.0}, "--prevalence 2 is out of range"),
    ],
)
def test_calibration_rules_and_prevalence_are_checked_before_any_work(options, message):
    with pytest.raises(OptionError, match=message):
        Protocol(**options)


def test_an_unknown_rule_in_a_balance_is_refused_before_any_work():
    with pytest.raises(OptionError, match="unknown threshold rule 'jouden'"):
        make_recipes(["svm"], ["threshold[rule=jouden]"])


def test_a_broken_image_is_in_rejected_csv_and_the_rest_is_compared(small_set: Path, tmp_path: Path):
    import shutil

    shutil.copytree(small_set, tmp_path / "set")
    (tmp_path / "set/normal/003.png").write_bytes(b"not a picture")
    run = rs.compare(
        rs.load(tmp_path / "set"), models=["logistic"], balance=["none"], folds=3, out=tmp_path / "r"
    )
    table = pd.read_csv(run.path / "rejected.csv")
    assert table["file"].tolist() == ["normal/003.png"] and len(table["reason"][0]) > 5
    assert len(run.predictions) == 63


def test_run_json_says_how_it_was_made(run: rs.Run):
    settings = json.loads((run.path / "run.json").read_text())
    assert settings["data"]["classes"] == {"normal": 40, "tumour": 24}
    assert settings["protocol"]["folds"] == 3 and settings["versions"]["scikit-learn"]
    assert settings["store"]["size"] == 224


@pytest.mark.parametrize(
    ("models", "balance", "message"),
    [
        (["svn"], ["none"], "unknown detector 'svn'; did you mean 'svm'"),
        (["svm"], ["smoet"], "did you mean 'smote'"),
        (["svm[gamma=1]"], ["none"], "no option 'gamma'; it takes: C, width"),
        (["svm[C]"], ["none"], "write option=value"),
        ([], ["none"], "at least one model"),
    ],
)
def test_unknown_names_are_refused_before_any_work(models, balance, message):
    with pytest.raises(OptionError, match=message.replace("[", r"\[")):
        make_recipes(models, balance)


@pytest.mark.parametrize(
    "options", [{"folds": 1}, {"repeats": 0}, {"imbalance": 0.5}, {"tune": -1}, {"seed": -1}]
)
def test_protocol_options_out_of_range_are_refused(options):
    with pytest.raises(OptionError):
        Protocol(**options)
