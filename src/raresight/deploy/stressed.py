"""What breaks a bundle: a labelled set that it has not learned from, scored clean and corrupted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.deploy.predictor import BATCH, Predictor
from raresight.deploy.probability import probabilities
from raresight.errors import OptionError, RunError
from raresight.evidence.prevalence_change import COST
from raresight.evidence.stressed import summarise_stress
from raresight.experiment.run import REMEDY
from raresight.experiment.settings import data_settings
from raresight.images.cache import content_hash, disk_errors, new_file
from raresight.images.grouping import group_images
from raresight.images.manifest import Manifest
from raresight.images.store import build_store
from raresight.images.stored import as_served
from raresight.progress import Progress, silent
from raresight.stress.corruptions import SEVERITIES, conditions_of, default_corruptions
from raresight.stress.folder import SUMMARY, Stress
from raresight.stress.runner import MOST, check_stressed, choose_rows
from raresight.stress.scorer import stress_scorer

Array = NDArray[Any]

UNKNOWN_COPIES = (
    "A bundle keeps none of its training images, so whether some of these are copies of them cannot be told; "
    "raresight audit on both sets together can."
)


@dataclass(frozen=True)
class BundleScorer:
    """A bundle as stress sees it, with its calibrated probabilities.

    Parameters
    ----------
    predictor : Predictor
    """

    predictor: Predictor

    def score(self, pixels: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Score (n, s, s, channels) preprocessed images; their channels and depth may be another set's."""
        facts = self.predictor.facts
        served = np.stack([as_served(image, facts.shape[2], facts.dtype) for image in pixels])
        parts = [self.predictor.scores(served[i : i + BATCH])[0] for i in range(0, len(served), BATCH)]
        scores = np.concatenate(parts)
        return scores, probabilities(scores, facts.calibration)


def stress_bundle(
    bundle: Path | str,
    images: Manifest,
    *,
    corruptions: Sequence[str] | None = None,
    severities: Sequence[int] = SEVERITIES,
    most: int = MOST,
    cost: float = COST,
    seed: int = 0,
    groups: str = "auto",
    out: str | Path | None = None,
    command: str | None = None,
    progress: Progress = silent,
) -> Stress:
    """Find out what breaks a bundle on labelled images that it has not learned from.

    Parameters
    ----------
    bundle : path
        A folder that `raresight.train` made.
    images : Manifest
    corruptions, severities, most, cost, seed
        See `raresight.stress_recipes`.
    groups : str
        Images that are one patient's: ``auto``, a column, or ``off``; what intervals are over.
    out : path, optional
        The folder; by default ``runs/stress-<hash>``.
    command : str, optional
        What the user typed.
    progress : callable, optional

    Returns
    -------
    Stress

    Raises
    ------
    OptionError
        If the bundle was trained on these very images, or a corruption or severity is unknown.
    RunError
        If the folder holds something else, or cannot be written.
    BundleError, DataError, ImageError
        If the bundle or the set cannot be used.
    """
    check_stressed(images, most, cost)
    predictor = Predictor(bundle)
    facts = predictor.facts
    conditions = conditions_of(corruptions or default_corruptions(facts.preprocess.preset), severities)
    store = build_store(images, facts.preprocess, progress)
    if store.key == facts.content["hashes"]["images"]:
        raise OptionError(
            f"{bundle} was trained on these very images, on which nothing breaks it; name others, or "
            "raresight stress DATA --models, which keeps test images out of training"
        )
    rows = choose_rows(store.manifest.y, most, seed)
    grouping = group_images(images, store, groups, progress)
    settings: dict[str, Any] = {
        "command": command,
        "task": "binary",
        "bundle": {"name": Path(bundle).name, "trained_on": facts.content["data"]["name"]},
        "data": data_settings(store.manifest, grouping),
        "recipes": [facts.content["recipe"]],
        "protocol": {"folds": 1, "repeats": 1, "groups": groups, "seed": seed},
        "stress": {
            "corruptions": list(dict.fromkeys(c.corruption for c in conditions)),
            "severities": sorted({c.severity for c in conditions}),
            "images": len(rows),
            "anomalies": int(store.manifest.y[rows].sum()),
            "cost": float(cost),
        },
    }
    names = [str(condition) for condition in conditions]
    identity = content_hash("stress-bundle", facts.content["hashes"], store.key, names, rows.tolist(), cost)
    path = Path(out) if out is not None else Path("runs") / f"stress-{identity[:12]}"
    if _finished(path, identity):
        return Stress(path)
    with progress("corrupting and scoring", 1) as tick:
        pixels, labels = store.pixels[rows], store.manifest.y[rows]
        clean, corrupted = stress_scorer(
            BundleScorer(predictor),
            pixels,
            labels,
            grouping.names[rows],
            conditions,
            name=facts.name,
            seed=seed,
        )
        tick(1)
    thresholds = {(facts.name, 0, 0): dict(facts.thresholds)}
    summary = summarise_stress(clean, corrupted, thresholds, settings["recipes"], cost=cost, seed=seed)
    summary["sentences"].append(UNKNOWN_COPIES)
    _keep(path, {**settings, "identity": identity}, summary)
    return Stress(path)


def _finished(path: Path, identity: str) -> bool:
    """Tell whether a folder holds this very test.

    Raises
    ------
    RunError
        If it holds another one, or something else.
    """
    found = path / "run.json"
    if found.is_file() and json.loads(found.read_text()).get("identity") == identity:
        return (path / SUMMARY).is_file()
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RunError(f"{path} holds something else; {REMEDY}")
    return False


def _keep(path: Path, settings: dict[str, Any], summary: dict[str, Any]) -> None:
    with disk_errors(path, REMEDY):
        path.mkdir(parents=True, exist_ok=True)
        for name, content in (("run.json", settings), (SUMMARY, summary)):
            with new_file(path / name) as scratch:
                scratch.write_text(json.dumps(content, indent=1, allow_nan=False))
