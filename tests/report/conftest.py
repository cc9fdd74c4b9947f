"""A made-up run with awkward names, as a report reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from raresight.errors import RunError
from raresight.evidence.summary import summarise

AWKWARD = "images/a&b_<script>alert(1)</script>|$x$.png"


class MadeUpRun:
    """What `raresight.report.source.Reported` asks for, in memory."""

    def __init__(self, path: Path, name: str = "../data/aptos_2019", recipes: tuple[str, ...] = ()) -> None:
        self.path = path
        ids = recipes or ("svm@embedding+none", "svm@embedding+smote", "cnn@pixels+none", "cnn@pixels+smote")
        rng = np.random.default_rng(0)
        label = (np.arange(120) % 3 == 0).astype(int)
        files = [AWKWARD, *(f"images/{i}.png" for i in range(1, 120))]
        frames, self.thresholds, self.receipts, parts = [], {}, [], []
        for recipe in ids:
            front, _, balance = recipe.partition("+")
            model, _, representation = front.partition("@")
            parts.append({"id": recipe, "model": model, "representation": representation, "balance": balance})
            score = rng.normal(size=120) + 1.8 * label
            score[0] = -9.0  # the awkwardly named anomaly is the worst miss
            for fold in range(3):
                rows = np.flatnonzero(np.arange(120) // 3 % 3 == fold)
                frames.append(_frame(recipe, fold, rows, files, label, score))
                self.thresholds[recipe, 0, fold] = {
                    "default": 1.6 if balance == "none" else 0.9,
                    "youden": 0.9,
                    "specificity=0.95": 2.1,
                }
                self.receipts.append(_receipt(recipe, fold, 0 if balance == "none" else 25))
        self.predictions = pd.concat(frames, ignore_index=True)
        self.settings: dict[str, Any] = {
            "command": "raresight compare '../data/<aptos>'",
            "data": {
                "name": name,
                "images": 120,
                "classes": {"No_DR": 80, "<b>DR</b>": 40},
                "normal": ["No_DR"],
            },
            "recipes": parts,
            "protocol": {
                "folds": 3,
                "repeats": 1,
                "inner_folds": 3,
                "tune": 0,
                "imbalance": 20.0,
                "seed": 0,
                "groups": "auto",
                "calibration": "beta",
                "prevalence": 0.05,
            },
            "store": {"folder": "/home/jane_doe/.cache/raresight/x", "size": 64},
            "versions": {"python": "3.11.9", "numpy": "2.4"},
        }
        self.rejected = [{"file": "images/<img src=x>.png", "reason": "not an image & not a DICOM file"}]
        self.weigh_again(60)

    def weigh_again(self, resamples: int) -> None:
        self.metrics = summarise(
            self.predictions, self.thresholds, self.receipts, self.settings, resamples=resamples
        )
        self.verdicts, self.recommendation = (self.metrics.pop(k) for k in ("verdicts", "recommendation"))

    def inner(self, recipe: str, repeat: int, fold: int) -> pd.DataFrame:
        own = self.predictions[(self.predictions["recipe"] == recipe) & (self.predictions["fold"] != fold)]
        return own[["row", "group", "label", "score"]]

    def image(self, row: int) -> np.ndarray:
        return np.full((40, 30, 3) if row % 2 else (40, 30), row, np.uint8)


class RunWithoutPixels(MadeUpRun):
    def image(self, row: int) -> np.ndarray:
        raise RunError("the image store is gone from the cache; run compare again to rebuild it")


def _frame(recipe: str, fold: int, rows: Any, files: list[str], label: Any, score: Any) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "recipe": recipe,
            "repeat": 0,
            "fold": fold,
            "row": rows,
            "file": [files[i] for i in rows],
            "group": [f"patient-{i // 2}-secret" for i in rows],
            "label": label[rows],
            "score": score[rows],
            "probability_raw": 1 / (1 + np.exp(-4 * (score[rows] - 2))),
            "probability": 1 / (1 + np.exp(-1.5 * (score[rows] - 1))),
        }
    )


def _receipt(recipe: str, fold: int, synthetic: int) -> dict[str, Any]:
    return {
        "recipe": recipe,
        "repeat": 0,
        "fold": fold,
        "train_rows": 80,
        "test_rows": 40,
        "shared_groups": 0,
        "synthetic": synthetic,
        "parents_outside": 0,
        "seconds": {"fit": 1.0, "predict": 0.1},
        "params": {},
    }


@pytest.fixture
def run(tmp_path: Path) -> MadeUpRun:
    return MadeUpRun(tmp_path)


@pytest.fixture(scope="module")
def shared_run(tmp_path_factory: pytest.TempPathFactory) -> MadeUpRun:
    """For tests that only read."""
    return MadeUpRun(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def two_sets(tmp_path_factory: pytest.TempPathFactory) -> list[MadeUpRun]:
    """Runs on two image sets, the second with an awkward name and as balanced as it is."""
    made = [MadeUpRun(tmp_path_factory.mktemp("run"), name) for name in ("../data/one", "two_<b>")]
    made[1].settings["protocol"]["imbalance"] = None
    return made


@pytest.fixture
def run_without_pixels(tmp_path: Path) -> MadeUpRun:
    return RunWithoutPixels(tmp_path)


@pytest.fixture
def phantom_run(tmp_path: Path) -> MadeUpRun:
    """One recipe, nothing published, no probabilities."""
    made = MadeUpRun(tmp_path, "phantom:brain?n=120", ("rf@embedding+none",))
    made.predictions["probability"] = made.predictions["probability_raw"] = np.nan
    made.rejected, made.settings["protocol"]["imbalance"] = [], None
    made.settings["protocol"]["prevalence"] = None
    made.weigh_again(20)
    return made
