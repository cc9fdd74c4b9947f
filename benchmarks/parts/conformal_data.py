"""Error rates of conformal answers where the truth is drawn anew, and on real sets."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import raresight as rs
from raresight.evidence.conformal import CLASSES, Conformal, error_law, patient_scores
from raresight.evidence.conformal_table import inner_calibration, measure_conformal, other_folds
from raresight.evidence.risk_coverage import compare_uncertainties
from raresight.experiment.run import Run
from raresight.images.splits import stratified_group_folds

SETS = 200
BLOCK = 40
"""Phantom sets after which what was found is kept."""

PATIENTS = 60
"""Of each class, to calibrate on, at score level."""


def scores_part(*_: Path) -> list[dict]:
    """Draw 200 sets of correlated scores, calibrate, and count on 400 new patients a class."""
    rows = []
    for promise in ("patient", "image", "images as units"):
        for alpha in (0.05, 0.1):
            broken: dict[str, list[float]] = {name: [] for name in CLASSES}
            referred = []
            for seed in range(SETS):
                rng = np.random.default_rng(seed)
                label, score, group = _drawn(rng, PATIENTS)
                units = np.arange(len(group)) if promise == "images as units" else group
                kind = "patient" if promise == "images as units" else promise
                made = Conformal.fit(label, score, units, alpha, kind)
                label, score, group = _drawn(rng, 400)
                referred.append(np.mean(made.decide(score) == "refer"))
                for name, number in CLASSES.items():
                    own = label == number
                    # Whether the worst image of each patient is ruled out, unless the promise is the patient's.
                    shown = "image" if promise == "images as units" else kind
                    tested = patient_scores(score[own], group[own], name, shown)[1]
                    broken[name].append(float(np.mean(~made.plausible(tested)[name])))
            for name in CLASSES:
                law = error_law(PATIENTS, alpha)
                rows.append(
                    _summary(promise, alpha, name, broken[name], law) | {"referred": float(np.mean(referred))}
                )
    return rows


def _drawn(rng: np.random.Generator, patients: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """So many patients of each class, 1 to 6 images each, two thirds of the variance the patient's own."""
    group = np.repeat(np.arange(2 * patients), rng.integers(1, 7, 2 * patients))
    label = group % 2
    noise = (2 / 3) ** 0.5 * rng.normal(size=2 * patients)[group] + (1 / 3) ** 0.5 * rng.normal(
        size=len(group)
    )
    return label, noise + 1.8 * label, group


def _summary(what: str, alpha: float, name: str, broken: list[float], law: dict) -> dict:
    spread = np.std(broken, ddof=1)
    return {
        "what": what,
        "alpha": alpha,
        "class": name,
        "promised": law["mean"],
        "mean": float(np.mean(broken)),
        "error": float(spread / len(broken) ** 0.5),
        "spread": float(spread),
    }


def phantoms_part(_: Path, out: Path) -> list[dict]:
    """Draw 200 phantom sets of 90 patients, 4 slices each, and calibrate in three ways on each."""
    found: dict[str, list[list[float]]] = {}
    for first in range(0, SETS, BLOCK):
        path = out / f"phantoms-{first}.json"
        if not path.is_file():
            path.write_text(json.dumps(_phantom_block(range(first, first + BLOCK))))
        for way, rows in json.loads(path.read_text()).items():
            found.setdefault(way, []).extend(rows)
    told = []
    for key, each in found.items():
        way, _, name = key.partition("|")
        broken, promised, mistaken, referred = np.array(each).T
        row = _summary(way, 0.1, name, broken.tolist(), {"mean": float(promised.mean())})
        told.append(row | {"mistaken": float(mistaken.mean()), "referred": float(referred.mean())})
    return told


def _phantom_block(seeds: Iterable[int]) -> dict[str, list[list[float]]]:
    """Give of each set, by ``way|class``: found, promised, answered wrongly, referred."""
    found: dict[str, list[list[float]]] = {}
    for seed in seeds:
        table, X = _phantoms(1000 + seed)
        for way, predictions, calibration in (_split(table, X, seed), *_crossed(table, X, seed)):
            told = measure_conformal(predictions, calibration, (0.1,), resamples=2)
            for name, cell in told.classes.items():
                row = [
                    cell["broken"]["mean"],
                    cell["promised"],
                    cell["mistaken"]["mean"],
                    cell["referred"]["mean"],
                ]
                found.setdefault(f"{way}|{name}", []).append(row)
    return found


def _phantoms(seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    images = rs.load(f"phantom:brain?n=360&anomalies=0.4&difficulty=0.2&size=64&seed={seed}")
    X = np.stack([_features(images.read(row)) for row in range(len(images))])
    table = pd.DataFrame({"repeat": 0, "row": range(len(X)), "group": images.groups(), "label": images.y})
    return table, X


def _features(image: np.ndarray) -> np.ndarray:
    """Find the brightest and darkest spots at three sizes, and what is brighter on one side than on the other."""
    grey = image.astype(np.float64)
    found = []
    for sigma in (1.0, 2.0, 3.5):
        spots = gaussian_filter(grey, sigma) - gaussian_filter(grey, 2 * sigma)
        inside = spots[8:-8, 8:-8]
        found += [inside.max(), -inside.min(), *np.quantile(inside, [0.99, 0.01])]
        sides = gaussian_filter(grey - grey[:, ::-1], sigma)
        found += [np.abs(sides).max()]
    return np.array(found)


def _scored(X: np.ndarray, y: np.ndarray, train: np.ndarray, rows: np.ndarray) -> np.ndarray:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0)).fit(X[train], y[train])
    return model.decision_function(X[rows])


def _split(table: pd.DataFrame, X: np.ndarray, seed: int) -> tuple[str, pd.DataFrame, dict]:
    """Train, calibrate and test on a third of the patients each: the promise's own conditions."""
    y = table["label"].to_numpy()
    part = stratified_group_folds(y, table["group"].to_numpy(), 3, seed)
    train, held, test = (np.flatnonzero(part == number) for number in range(3))
    scores = {name: _scored(X, y, train, rows) for name, rows in (("held", held), ("test", test))}
    tested = table.iloc[test].assign(fold=0, score=scores["test"])
    return "split", tested, {(0, 0): table.iloc[held].assign(score=scores["held"])}


def _crossed(table: pd.DataFrame, X: np.ndarray, seed: int) -> list[tuple[str, pd.DataFrame, dict]]:
    """Cross-validate as `compare` does: 5 folds, 3 inner folds."""
    y, group = table["label"].to_numpy(), table["group"].to_numpy()
    fold = stratified_group_folds(y, group, 5, seed)
    score, inner = np.empty(len(y)), {}
    for number in range(5):
        train, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        score[test] = _scored(X, y, train, test)
        within = stratified_group_folds(y[train], group[train], 3, seed)
        held = np.empty(len(train))
        for part in range(3):
            held[within == part] = _scored(X, y, train[within != part], train[within == part])
        inner[0, number] = table.iloc[train].assign(score=held)
    whole = table.assign(fold=fold, score=score)
    return [
        ("inner folds", whole, inner_calibration(whole, inner)),
        ("other folds", whole, other_folds(whole)),
    ]


REAL = (
    ("aptos2019", "No_DR", ("logistic",)),
    ("aptos2019", "No_DR", ("svm",)),
    ("brain_tumor_yesno", "no", ("logistic", "svm", "rf")),
)


def runs_part(data: Path, out: Path) -> list[dict]:
    """Compare on the real sets, and count in both ways at two error rates."""
    rows = []
    for name, normal, models in REAL:
        folder = out / f"{name}-{'-'.join(models)}"
        run = rs.compare(rs.load(data / name, normal=[normal]), models, ["none"], workers=1, out=folder)
        for recipe, own in run.predictions.groupby("recipe", sort=False):
            inner = {(r, f): run.inner(str(recipe), r, f) for (r, f), _ in own.groupby(["repeat", "fold"])}
            ways = {"inner folds": inner_calibration(own, inner), "other folds": other_folds(own)}
            for way, calibration in ways.items():
                for alpha in (0.05, 0.1):
                    told = measure_conformal(own, calibration, (alpha,))
                    for kind, cell in told.classes.items():
                        rows.append(
                            {"set": name, "recipe": recipe, "way": way, "alpha": alpha, "class": kind, **cell}
                        )
    return rows


def orders_part(data: Path, out: Path) -> list[dict]:
    """Order the runs' answers at the default threshold by what their predictions alone can tell."""
    rows = []
    for name, _, models in REAL:
        run = Run(out / f"{name}-{'-'.join(models)}")
        for recipe, own in run.predictions.groupby("recipe", sort=False):
            parts = [_unsure(run, str(recipe), int(fold), part) for fold, part in own.groupby("fold")]
            known = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
            wrong, group = known.pop("wrong"), known.pop("group")
            told = compare_uncertainties(wrong, known, group, "raw score")
            rows.append({"set": name, "recipe": recipe, "wrong": float(wrong.mean()), "rows": told})
    return rows


def _unsure(run: Run, recipe: str, fold: int, part: pd.DataFrame) -> dict[str, np.ndarray]:
    """Give one fold's errors and uncertainties: distances in the fold's own scale, chances and p-values."""
    score, cut = part["score"].to_numpy(), run.thresholds[recipe, 0, fold]["default"]
    flagged, p = score >= cut, part["probability"].to_numpy()
    inner = run.inner(recipe, 0, fold)
    odd = Conformal.fit(inner["label"], inner["score"], inner["group"], 0.2).p_values(score)
    return {
        "wrong": flagged != (part["label"].to_numpy() == 1),
        "group": part["group"].to_numpy(),
        "raw score": -np.abs(score - cut) / score.std(),
        "calibrated probability": np.where(flagged, 1 - p, p),
        "conformal p-values": np.where(flagged, odd["normal"], odd["anomalous"]),
    }
