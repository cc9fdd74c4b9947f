"""Predictions of any other tool, judged."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import raresight as rs
from raresight.cli.app import app
from raresight.cli.console import guarded
from raresight.errors import DataError, OptionError
from raresight.evidence.judge import judge, read_predictions


def made(n: int = 200, gain: float = 0.0, seed: int = 0, folds: int = 1) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    label = (np.arange(n) % 4 == 0).astype(int)
    shared = random.normal(size=n) + 1.5 * label
    parts = []
    for recipe, more in (("none", 0.0), ("smote", gain)):
        score = shared + 0.3 * random.normal(size=n) + more * label
        part = {"recipe": recipe, "label": label, "score": score, "row": np.arange(n)}
        parts.append(pd.DataFrame({**part, "fold": np.arange(n) // 4 % folds}))
    return pd.concat(parts, ignore_index=True)


def headline(frame: pd.DataFrame, **options: object) -> dict[str, object]:
    found = judge(frame, **options)  # type: ignore[arg-type]
    return next(row for row in found.verdicts if row["metric"] == "auroc")


def test_a_better_ranking_helps_and_a_worse_one_harms():
    assert headline(made(gain=2.0))["decision"] == "helps"
    assert headline(made(gain=-1.0))["decision"] == "harms"
    same = made()
    same.loc[same["recipe"] == "smote", "score"] = same.loc[same["recipe"] == "none", "score"].to_numpy()
    assert headline(same)["decision"] == "equivalent"


def test_a_moved_scale_is_no_better_ranking():
    frame = made()
    base = frame.loc[frame["recipe"] == "none", "score"].to_numpy()
    frame["probability"] = 1 / (1 + np.exp(1.5 - frame["score"]))
    smote = frame["recipe"] == "smote"
    frame.loc[smote, "score"] = np.exp(base) + 5
    frame.loc[smote, "probability"] = 1 / (1 + np.exp(-base))
    found = judge(frame)
    words = {row["metric"]: row["decision"] for row in found.verdicts}
    assert words["auroc"] == words["sensitivity_at_95_specificity"] == "equivalent"
    assert words["brier"] == "harms"
    before, after = (row["metrics"]["sensitivity"]["mean"] for row in found.metrics)
    assert after > before + 0.1


def test_rows_may_come_in_any_order():
    frame = made(gain=0.4, folds=3)
    shuffled = frame.sample(frac=1, random_state=1)
    assert judge(frame).verdicts == judge(shuffled).verdicts


def test_groups_widen_the_interval():
    frame = made(gain=0.5)
    # Every patient four times: the same images count once.
    four = pd.concat(
        [frame.assign(group=frame["row"], row=frame["row"].astype(str) + f"-{i}") for i in range(4)],
        ignore_index=True,
    )
    alone, known, blind = headline(frame), headline(four), headline(four.drop(columns="group"))
    assert known["error"] == pytest.approx(alone["error"], rel=0.02)
    assert blind["error"] < 0.6 * known["error"]  # type: ignore[operator]


def test_balances_are_paired_with_their_own_models_baseline():
    frame = made()
    both = pd.concat([frame.assign(recipe=model + "@x+" + frame["recipe"]) for model in ("a", "b")])
    pairs = {(row["recipe"], row["against"]) for row in judge(both).verdicts}
    assert pairs == {("a@x+smote", "a@x+none"), ("b@x+smote", "b@x+none")}


def test_random_training_needs_five_repeats():
    found = headline(made(gain=2.0), stochastic=["smote"])
    assert found["decision"] == "inconclusive" and "--repeats 5" in str(found["reason"])


def test_delong_stands_beside_where_images_are_independent():
    found = headline(made(gain=0.5))
    assert found["delong"]["error"] == pytest.approx(found["error"], rel=0.05)  # type: ignore[index]
    folded = headline(made(gain=0.5, folds=4))
    assert folded["delong"] is None and folded["nadeau_bengio"]["p"] is not None  # type: ignore[index]


def test_a_thousand_rows_take_half_a_second():
    frame = made(1000)
    judge(frame)
    start = time.process_time()
    judge(frame)
    print(f"judge: {time.process_time() - start:.2f} s")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"drop": "score"}, "no column 'score'"),
        ({"label": 3}, "prediction 3 has the label"),
        ({"score": np.nan}, "prediction 3 has the score"),
        ({"score": np.inf}, "not a finite number"),
        ({"probability": 1.2}, "not between 0 and 1"),
        ({"recipe": None}, "prediction 3 has no recipe"),
        ({"row": 1}, "predicts row 1 twice"),
    ],
)
def test_bad_predictions_are_named(change: dict[str, object], sentence: str):
    frame = made().astype({"label": object})
    if "drop" in change:
        frame = frame.drop(columns="score")
    else:
        column, value = next(iter(change.items()))
        if column not in frame:
            frame[column] = 0.5
        frame[column] = frame[column].astype(object)
        frame.loc[2, column] = value
    with pytest.raises(DataError, match=sentence):
        judge(frame)


def test_recipes_must_have_been_tested_on_the_same_rows():
    with pytest.raises(DataError, match="not tested on the same rows"):
        judge(made().iloc[:-1])
    with pytest.raises(DataError, match="one class"):
        judge(made().query("label == 0"))
    with pytest.raises(DataError, match="no prediction"):
        judge(made().iloc[:0])
    frame = pd.concat([made().assign(repeat=0), made().assign(repeat=1)]).drop(columns="row")
    with pytest.raises(DataError, match="need a column 'row' or 'group'"):
        judge(frame)


def test_the_baseline_must_be_there():
    with pytest.raises(OptionError, match="no baseline 'plain' among the recipes: none, smote"):
        judge(made(), "plain")
    with pytest.raises(OptionError, match="only recipe"):
        judge(made().query("recipe == 'none'"))
    with pytest.raises(OptionError, match="no recipe 'x'"):
        judge(made(), stochastic=["x"])


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_from_the_command_line(tmp_path: Path, ending: str):
    path = tmp_path / f"p.{ending}"
    frame = made(gain=2.0)
    frame.to_csv(path, index=False) if ending == "csv" else frame.to_parquet(path)
    result = CliRunner().invoke(app, ["judge", str(path), "--baseline", "none", "--json"])
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["verdicts"] == rs.judge(read_predictions(path), baseline="none").verdicts
    assert {
        "recipe",
        "against",
        "metric",
        "difference",
        "low",
        "high",
        "p_adjusted",
        "p_rope",
        "decision",
    } <= set(found["verdicts"][0])
    shown = CliRunner().invoke(app, ["judge", str(path)])
    assert "smote against none: helps" in shown.stdout and "no column 'group'" in shown.stderr


def test_a_file_that_is_none_ends_with_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "x.parquet").write_text("not parquet")
    (tmp_path / "x.txt").write_text("recipe")
    (tmp_path / "x.csv").write_text("")
    for name in ("x.parquet", "x.txt", "x.csv", "missing.csv"):
        assert guarded(app, ["judge", str(tmp_path / name)]) == 2
        assert "error:" in capsys.readouterr().err


@pytest.mark.parametrize("probability", [False, True])
def test_the_page_holds_verdicts_curves_and_metrics(tmp_path: Path, probability: bool):
    frame = made(gain=2.0)
    if probability:
        frame["probability"] = 1 / (1 + np.exp(1.5 - frame["score"]))
    frame["recipe"] = frame["recipe"].replace("smote", "<b>smote</b>")
    frame.to_csv(tmp_path / "p.csv", index=False)
    page = tmp_path / "page.html"
    assert guarded(app, ["judge", str(tmp_path / "p.csv"), "--out", str(page)]) == 0
    text = page.read_text()
    assert "&lt;b&gt;smote&lt;/b&gt; against none: helps" in text and "<b>smote" not in text
    assert text.count("<figure>") == 2 + probability and ("Calibration slope" in text) == probability
    assert "http://" not in text.replace("http://www.w3.org", "").replace("http://purl.org", "")
