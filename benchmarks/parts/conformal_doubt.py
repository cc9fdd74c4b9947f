"""Which doubt orders the errors better than the raw score: cross-validated, with everything fitted inside."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import raresight as rs
from raresight.evidence.calibration import CALIBRATIONS
from raresight.evidence.risk_coverage import compare_uncertainties
from raresight.experiment.inner import fit_with_inner
from raresight.experiment.recipe import make_recipes
from raresight.explain.reference import Reference
from raresight.explain.uncertainty import doubt_images, fit_members
from raresight.images.grouping import group_images
from raresight.images.manifest import Manifest
from raresight.images.preprocess import Preprocess
from raresight.images.splits import stratified_group_folds
from raresight.images.store import build_store
from raresight.represent.embedding import Embedding

RECIPE = "transfer[stages=0]"
FOLDS = 5
PASSES = 6
MOST = 600
"""Images of a set, whole groups at a time: the views of each are embedded anew."""


SETS = {
    "brain_tumor_yesno": lambda data: rs.load(data / "brain_tumor_yesno", normal=["no"]),
    "aptos2019": lambda data: rs.load(data / "aptos2019", normal=["No_DR"]),
    "phantom": lambda _: rs.load("phantom:brain?n=600&anomalies=0.3&difficulty=0.2&seed=0"),
}


def doubt_part(name: str, data: Path, _: Path) -> dict:
    """Cross-validate on one of the sets, and compare by a paired bootstrap over patients."""
    return _measured(name, SETS[name](data))


def _measured(name: str, images: Manifest) -> dict:
    store = build_store(images, Preprocess())
    groups = group_images(images, store).names
    rows = _some(groups)
    y = store.manifest.y
    (recipe,) = make_recipes([RECIPE], ["none"])
    fold_of = stratified_group_folds(y[rows], groups[rows], FOLDS, 0)
    kinds = ("raw", "calibrated", "ensemble mean", "ensemble spread", "dropout mean", "dropout spread")
    kinds += ("views mean", "views spread", "ensemble and views", "distance from training images")
    unsure, wrong = ({kind: np.empty(len(rows)) for kind in kinds} for _ in range(2))
    for fold in range(FOLDS):
        at, train, test = fold_of == fold, rows[fold_of != fold], rows[fold_of == fold]
        for kind, (score, doubt) in _fold(recipe, store, groups, train, test).items():
            unsure[kind][at] = doubt
            wrong[kind][at] = (score >= 0) != (y[test] == 1)
    told = compare_uncertainties(wrong, unsure, groups[rows], "raw")
    return {
        "set": name,
        "n": len(rows),
        "groups": len(np.unique(groups[rows])),
        "rows": told,
        "errors": {kind: float(each.mean()) for kind, each in wrong.items()},
    }


def _fold(recipe, store, groups, train, test) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Give each doubt's score, whose sign decides, and its uncertainty, on a scale that folds share."""
    fitted, inner = fit_with_inner(recipe, store, groups, train, 3, 0)
    raw = fitted.score(store, test)
    chance = CALIBRATIONS["beta"].load()().fit(inner.score, inner.label).predict(raw)
    members = fit_members(recipe, store, groups, train, folds=5)
    ensemble = doubt_images(members, store, test)
    dropout = doubt_images(fitted, store, test, "dropout", passes=20)
    views = doubt_images(fitted, store, test, "augmentation", passes=PASSES)
    both = (ensemble.mean + views.mean) / 2
    features = Embedding().whole(store)
    far = Reference.fit(np.asarray(features[train])).distance(np.asarray(features[test]))
    return {
        "raw": (raw, -np.abs(raw)),
        "calibrated": (raw, np.where(raw >= 0, 1 - chance, chance)),
        "ensemble mean": (ensemble.mean, -np.abs(ensemble.mean)),
        "ensemble spread": (raw, ensemble.spread),
        "dropout mean": (dropout.mean, -np.abs(dropout.mean)),
        "dropout spread": (raw, dropout.spread),
        "views mean": (views.mean, -np.abs(views.mean)),
        "views spread": (raw, views.spread),
        "ensemble and views": (both, -np.abs(both)),
        "distance from training images": (raw, far),
    }


def _some(groups: np.ndarray) -> np.ndarray:
    """Take whole groups at random until there are enough images."""
    names, member, counts = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.random.default_rng(0).permutation(len(names))
    chosen = order[np.cumsum(counts[order]) <= MOST]
    return np.flatnonzero(np.isin(member, chosen))
