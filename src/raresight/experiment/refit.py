"""A recipe fitted once more, on every image, and kept as an ONNX graph."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raresight.experiment.inner import fit_with_inner
from raresight.experiment.protocol import task_seed
from raresight.experiment.recipe import FittedRecipe, Recipe
from raresight.experiment.run import REMEDY
from raresight.experiment.runner import plan_work
from raresight.experiment.task import learn_thresholds
from raresight.images.cache import disk_errors, new_file
from raresight.images.manifest import Manifest
from raresight.images.store import ImageStore


@dataclass(frozen=True)
class Refit:
    """A recipe that has seen every image.

    Attributes
    ----------
    fitted : FittedRecipe
    thresholds : dict
        Rule → value, learned on inner scores; see `raresight.experiment.task.learn_thresholds`.
    store : ImageStore
    """

    fitted: FittedRecipe
    thresholds: dict[str, float]
    store: ImageStore

    def save(self, folder: Path) -> Path:
        """Write ``detector.onnx``, from what the detector sees to the score, and ``recipe.json`` beside it.

        The latter holds the recipe, the thresholds, and mean and deviation by which features are standardised
        first.
        """
        fitted, scaler = self.fitted, self.fitted.scaler
        facts = {
            "recipe": fitted.recipe.settings(),
            "preprocess": self.store.preprocess.settings(),
            "thresholds": self.thresholds,
            "score_shift": fitted.shift,
            "scaler": None
            if scaler is None
            else {"mean": scaler.mean_.tolist(), "scale": scaler.scale_.tolist()},
        }
        with disk_errors(folder, REMEDY):
            folder.mkdir(parents=True, exist_ok=True)
            with new_file(folder / "detector.onnx") as scratch:
                fitted.detector.export_onnx(scratch, fitted.seen(self.store, fitted.rows[:2]))
            with new_file(folder / "recipe.json") as scratch:
                scratch.write_text(json.dumps(facts, indent=1, allow_nan=False))
        return folder


def refit(recipe: Recipe, images: Manifest, **options: Any) -> Refit:
    """Fit a recipe on all images, and learn its thresholds on inner scores.

    Parameters
    ----------
    recipe : Recipe
    images : Manifest
    **options
        Further ones of `raresight.compare`: preprocessing, groups, inner folds, seed, thresholds …
    """
    work = plan_work(
        images,
        [str(recipe.model)],
        [str(recipe.balance)],
        representation=str(recipe.representation),
        **options,
    )
    store, protocol = work.store, work.protocol
    rows = np.arange(len(store))
    seed = task_seed(protocol.seed, protocol.repeats, protocol.folds)
    fitted, inner = fit_with_inner(
        work.tasks[0].recipe, store, work.grouping.names, rows, protocol.inner_folds, seed
    )
    prevalence = float(store.manifest.y.mean()) if protocol.prevalence is None else protocol.prevalence
    learned = learn_thresholds(recipe, fitted, inner, protocol.thresholds, prevalence)
    return Refit(fitted, learned, store)
