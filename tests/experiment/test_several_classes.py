"""Several classes, end to end: in Python and on the command line, and what makes no sense of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import raresight as rs
from raresight.balance.costs import FocalLoss, LogitAdjustment
from raresight.cli.app import app
from raresight.cli.console import guarded
from raresight.errors import DataError, OptionError
from raresight.evidence.multiclass import GRADED, PER_CLASS

ORDER = ["empty", "disc", "square"]
COUNTS = {"disc": 24, "empty": 32, "square": 16}
QUICK: dict[str, Any] = {
    "models": ["logistic[C=1.0]"],
    "balance": ["none", "smote[k_neighbors=3]"],
    "representation": "pixels[size=16]",
    "size": 32,
    "folds": 3,
    "inner_folds": 2,
}
WORDS = ["--representation", "pixels[size=16]", "--size", "32", "--folds", "3", "--inner-folds", "2"]


def write_shapes(folder: Path, counts: dict[str, int] = COUNTS, side: int = 32) -> Path:
    """Write noise, dark discs and bright squares, two images a patient."""
    random = np.random.default_rng(5)
    rows = []
    across, down = np.mgrid[:side, :side]
    for label, count in counts.items():
        (folder / label).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            image = random.normal(110, 15, (side, side))
            top, left = random.integers(10, 14, 2)
            if label == "square":
                image[top - 6 : top + 6, left - 6 : left + 6] += 90
            elif label == "disc":
                image[(across - top) ** 2 + (down - left) ** 2 < 40] -= 80
            file = f"{label}/{i}.png"
            Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(folder / file)
            rows.append({"file": file, "label": label, "patient": f"{label}-{i // 2}"})
    pd.DataFrame(rows).to_csv(folder / "labels.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("shapes"))


@pytest.fixture(scope="module")
def run(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> rs.Run:
    images = rs.load(shapes, task="multiclass", order=ORDER)
    return rs.compare(images, **QUICK, out=tmp_path_factory.mktemp("run") / "a", workers=1)


def test_every_image_gets_a_class_and_a_share_of_each(run: rs.Run):
    table = run.predictions
    assert len(table) == 2 * 72 and set(table["predicted"]) <= {0, 1, 2}
    columns = "recipe repeat fold row file group label predicted score_0 score_1 score_2"
    assert " ".join(table.columns) == f"{columns} probability_0 probability_1 probability_2"
    shares = table[["probability_0", "probability_1", "probability_2"]].to_numpy()
    assert shares.sum(axis=1) == pytest.approx(np.ones(len(table))) and shares.min() >= 0
    score = table[["score_0", "score_1", "score_2"]].to_numpy()
    assert (score.argmax(axis=1) == table["predicted"]).all()


def test_classes_stand_in_their_order_and_in_every_fold(run: rs.Run):
    assert list(run.settings["data"]["classes"].items()) == [("empty", 32), ("disc", 24), ("square", 16)]
    named = run.predictions["file"].str.partition("/")[0].map(ORDER.index)
    assert (named == run.predictions["label"]).all()
    assert (run.predictions.groupby(["recipe", "fold"])["label"].nunique() == 3).all()


def test_shapes_are_told_apart(run: rs.Run):
    for row in run.metrics["recipes"]:
        assert row["metrics"]["macro_auroc"]["mean"] > 0.9 and row["metrics"]["quadratic_kappa"]["mean"] > 0.8
        assert list(row["metrics"]) == list(GRADED) and list(row["per_class"]) == ORDER
        assert all(list(cells) == list(PER_CLASS) for cells in row["per_class"].values())


def test_the_receipts_count_no_leak_and_balance_every_class(run: rs.Run):
    for receipt in run.receipts:
        assert receipt["shared_groups"] == receipt["parents_outside"] == receipt["learned_outside"] == 0
        counts = receipt["train_classes"].values()
        missing = 3 * max(counts) - sum(counts)
        assert receipt["synthetic"] == (missing if "smote" in receipt["recipe"] else 0)


def test_verdicts_are_given_on_ranking_decisions_and_grades(run: rs.Run):
    judged = {row["metric"]: row["decision"] for row in run.verdicts}
    assert list(judged) == ["macro_auroc", "balanced_accuracy", "quadratic_kappa"]
    assert all("8 groups" in row["reason"] for row in run.verdicts)  # of squares there are 16, two a patient
    assert run.recommendation.startswith("Recommended here: no resampling")


def test_another_order_is_another_run_and_the_same_one_is_found_again(run: rs.Run, shapes: Path):
    before = {p: p.stat().st_mtime_ns for p in (run.path / "predictions").iterdir()}
    rs.compare(rs.load(shapes, task="multiclass", order=ORDER), **QUICK, out=run.path, workers=1)
    assert {p: p.stat().st_mtime_ns for p in (run.path / "predictions").iterdir()} == before
    with pytest.raises(rs.RunError, match="another command"):
        rs.compare(rs.load(shapes, task="multiclass"), **QUICK, out=run.path, workers=1)


@pytest.mark.parametrize("form", ["html", "md", "tex"])
def test_the_report_tells_every_class_in_every_form(run: rs.Run, tmp_path: Path, form: str):
    text = rs.write_report(run, tmp_path / f"report.{form}").read_text()
    assert all(label in text for label in ORDER) and "uadratic kappa" in text
    assert "Leakage" in text and "nan" not in text.lower().replace("finan", "")
    confusion = "figure" if form == "html" else "figures/confusion"
    assert confusion in text


def test_the_table_has_every_metric_and_class(run: rs.Run):
    rs.write_report(run)
    table = pd.read_csv(run.path / "table.csv")
    assert {*GRADED, "n:disc", "auroc:square", "macro_f1_low"} <= set(table.columns)
    assert table["n"].tolist() == [72, 72]
    assert "Quadratic kappa" in (run.path / "table.md").read_text()
    assert (run.path / "figures" / "confusion.png").stat().st_size > 2000


def test_a_network_grades_with_soft_labels_losses_and_shifts(shapes: Path, tmp_path: Path):
    images = rs.load(shapes, task="multiclass", order=ORDER)
    run = rs.compare(
        images,
        models=["cnn[pixels=32,width=8,members=1,epochs=1]"],
        balance=["none", "mixup", "focal", "logit-adjustment"],
        representation="pixels[size=32]",
        size=32,
        folds=2,
        out=tmp_path / "r",
        workers=1,
    )
    assert len(run.metrics["recipes"]) == 4
    assert all(np.isfinite(run.predictions[[f"score_{c}" for c in range(3)]]).all())
    plain, moved = (
        run.predictions[run.predictions["recipe"].str.endswith(b)] for b in ("none", "adjustment")
    )
    gap = moved["score_2"].to_numpy() - plain["score_2"].to_numpy()
    assert gap == pytest.approx(np.full(72, np.log(72 / 16)), abs=0.2)  # −log of the squares' share


def test_focal_loss_weighs_every_class():
    labels = np.repeat([0, 1, 2], [6, 3, 1])
    from raresight.balance.costs import Focal

    loss = Focal().loss(labels)
    assert isinstance(loss, FocalLoss)
    assert loss.alpha.numpy() == pytest.approx(np.array([10 / 18, 10 / 9, 10 / 3]))
    assert LogitAdjustment().class_shifts(labels) == pytest.approx(-np.log([0.6, 0.3, 0.1]))


def test_tuning_ranks_by_every_class(shapes: Path, tmp_path: Path):
    images = rs.load(shapes, task="multiclass", order=ORDER)
    options = {**QUICK, "models": ["logistic"], "balance": ["none"], "folds": 2}
    run = rs.compare(images, **options, tune=2, out=tmp_path / "r", workers=1)
    assert all("C" in receipt["params"]["model"] for receipt in run.receipts)


def test_a_published_split_is_kept(shapes: Path, tmp_path: Path):
    table = pd.read_csv(shapes / "labels.csv")
    table["split"] = np.where(table["patient"].str[-1].isin(["1", "4", "7"]), "test", "train")
    table["file"] = [str(shapes / file) for file in table["file"]]
    table.to_csv(tmp_path / "set.csv", index=False)
    images = rs.load(tmp_path / "set.csv", task="multiclass", order=ORDER)
    options = {**QUICK, "balance": ["none"], "split": "published", "workers": 1}
    run = rs.compare(images, **options, out=tmp_path / "r")
    assert run.predictions["fold"].unique().tolist() == [0]
    assert rs.write_report(run).read_text().count("The published split was kept") >= 1
    table["split"] = np.where(table["label"] == "square", "train", table["split"])
    table.to_csv(tmp_path / "set.csv", index=False)
    images = rs.load(tmp_path / "set.csv", task="multiclass", order=ORDER)
    with pytest.raises(DataError, match="test part has no 'square' image"):
        rs.compare(images, **options, out=tmp_path / "s")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"leaky_twin": True}, "--leaky-twin judges normal against anomalous"),
        ({"imbalance": 5}, "--imbalance is about anomalies"),
        ({"anomalies": 5}, "--anomalies is about anomalies"),
        ({"prevalence": 0.1}, "--prevalence is about anomalies"),
        ({"thresholds": ["f1"]}, "--thresholds cut one score"),
        ({"calibration": "platt"}, "takes: temperature, none"),
        ({"calibration": "wrong"}, "unknown calibration"),
        ({"models": ["knn"]}, "knn tells anomalous from normal only.*logistic"),
        ({"balance": ["threshold"]}, "threshold moves the threshold of one score"),
    ],
)
def test_what_makes_no_sense_of_several_classes_is_refused(
    shapes: Path, tmp_path: Path, options: dict[str, Any], words: str
):
    images = rs.load(shapes, task="multiclass", order=ORDER)
    with pytest.raises(OptionError, match=words):
        rs.compare(images, **{**QUICK, **options}, out=tmp_path / "r")


def test_an_external_set_and_a_sweep_are_refused(shapes: Path, tmp_path: Path):
    images = rs.load(shapes, task="multiclass", order=ORDER)
    with pytest.raises(OptionError, match="--external judges normal against anomalous"):
        rs.compare(images, **QUICK, external=images, out=tmp_path / "r")
    with pytest.raises(OptionError, match="--imbalance is about anomalies"):
        rs.compare_imbalances(images, **QUICK, imbalance=[1, 5], out=tmp_path / "s")


def test_two_classes_are_a_binary_task(small_set: Path, tmp_path: Path):
    with pytest.raises(OptionError, match="two classes, normal and tumour; leave out --task multiclass"):
        rs.compare(rs.load(small_set, task="multiclass"), out=tmp_path / "r")


def test_a_lone_class_and_one_of_too_few_patients_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match="only the class 'disc'"):
        rs.load(write_shapes(tmp_path / "one", {"disc": 4}), task="multiclass")
    few = rs.load(write_shapes(tmp_path / "few", {"disc": 8, "empty": 8, "square": 4}), task="multiclass")
    with pytest.raises(DataError, match="class 'square' has only 2 groups .* use --folds 2"):
        rs.compare(few, **QUICK, out=tmp_path / "r")
    with pytest.raises(DataError, match="one group \\(patient\\) of a class only"):
        rs.compare(few, **{**QUICK, "folds": 2}, out=tmp_path / "s", workers=1)


def test_runs_of_several_classes_are_not_ranked_across_sets(run: rs.Run):
    with pytest.raises(OptionError, match="takes runs of normal against anomalous only"):
        rs.rank_balances([run, run])


def test_the_command_line_prints_the_table(shapes: Path, tmp_path: Path, capsys):
    arguments = ["compare", str(shapes), "--task", "multiclass", "--order", ",".join(ORDER), "--workers", "1"]
    arguments += [
        "--models",
        "logistic",
        "--balance",
        "none,class-weight",
        *WORDS,
        "--out",
        str(tmp_path / "r"),
    ]
    assert guarded(app, arguments) == 0
    captured = capsys.readouterr()
    assert "quadratic_kappa" in captured.out and f"report: {tmp_path / 'r' / 'report.html'}" in captured.out
    assert "as named: empty, disc, square" in captured.err
    assert guarded(app, [*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["task"] == "multiclass" and document["classes"] == ORDER
    assert list(document["recipes"][0]["per_class"]["disc"]) == ["sensitivity", "specificity", "f1", "auroc"]
    assert {row["metric"] for row in document["verdicts"]} >= {"quadratic_kappa"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--external", "phantom:brain?n=20"], "--external judges normal against anomalous"),
        (["--order", "disc,square"], "--order leaves out empty"),
        (["--normal", "empty"], "--normal and --anomaly go with a binary task"),
    ],
)
def test_the_command_line_says_what_is_wrong(shapes: Path, capsys, options: list[str], words: str):
    assert guarded(app, ["compare", str(shapes), "--task", "multiclass", *options]) == 2
    assert words in capsys.readouterr().err
