"""A recipe fitted once more, on every image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.errors import DataError, OptionError
from raresight.experiment.chances import Chances
from raresight.experiment.inner import InnerScores, fit_with_inner
from raresight.experiment.protocol import task_seed
from raresight.experiment.recipe import FittedRecipe, Recipe
from raresight.experiment.run import Run
from raresight.experiment.search import tune
from raresight.experiment.task import learn_thresholds
from raresight.experiment.work import plan_work
from raresight.images.manifest import Manifest
from raresight.images.store import ImageStore
from raresight.progress import Say, unsaid


@dataclass(frozen=True)
class Refit:
    """A recipe that has seen every image.

    Attributes
    ----------
    fitted : FittedRecipe
    thresholds : dict
        Rule → value, learned on inner scores; see `raresight.experiment.task.learn_thresholds`.
    store : ImageStore
    inner : InnerScores
        Scores of images by a twin of the detector that did not see them.
    chances : Chances
        From scores to probabilities, learned on inner scores.
    groups : (n,) array
        What stays together.
    settings : dict
        What ``run.json`` would hold of a comparison of this recipe; see
        `raresight.experiment.settings.run_settings`.
    """

    fitted: FittedRecipe
    thresholds: dict[str, float]
    store: ImageStore
    inner: InnerScores
    chances: Chances
    groups: NDArray[Any]
    settings: dict[str, Any]


def refit(
    recipe: Recipe, images: Manifest, *, same_as: Run | None = None, say: Say = unsaid, **options: Any
) -> Refit:
    """Fit a recipe on all images, and learn its thresholds and its calibration on inner scores.

    Parameters
    ----------
    recipe : Recipe
    images : Manifest
        Of a binary task.
    same_as : Run, optional
        A run whose images and groups these must be.
    say : callable, optional
        Told what stays together and what groups cannot rule out.
    **options
        Further ones of `raresight.compare`: preprocessing, groups, inner folds, seed, thresholds …; what
        drops anomalies from training rows drops none here.

    Raises
    ------
    DataError, OptionError, RunError
        As `raresight.compare` does; if the task is not binary, or these are not the images of the run.
    """
    if images.task != "binary":
        raise OptionError("a detector tells normal from anomalous; name the normal classes with --normal")
    work = plan_work(
        images,
        [str(recipe.model)],
        [str(recipe.balance)],
        representation=str(recipe.representation),
        **options,
    )
    if same_as is not None:
        _check_same(same_as, work.settings)
    work.tell(say)
    store, protocol, groups = work.store, work.protocol, work.grouping.names
    rows = np.arange(len(store))
    seed = task_seed(protocol.seed, protocol.repeats, protocol.folds)
    chosen = work.tasks[0].recipe
    if protocol.tune:
        chosen = tune(chosen, store, groups, rows, protocol, seed)
    fitted, inner = fit_with_inner(chosen, store, groups, rows, protocol.inner_folds, seed)
    own = float(store.manifest.y.mean())
    chances = Chances.learn(fitted, inner, protocol.calibration, own)
    served_at = own if protocol.prevalence is None else protocol.prevalence
    learned = learn_thresholds(recipe, fitted, inner, protocol.thresholds, served_at)
    return Refit(fitted, learned, store, inner, chances, groups, work.settings)


def _check_same(run: Run, settings: dict[str, Any]) -> None:
    ours, theirs = settings["data"]["manifest_hash"], run.settings["data"]["manifest_hash"]
    if ours != theirs or settings["store"]["key"] != run.settings["store"]["key"]:
        raise DataError(
            f"these are not the images and groups that {run.path} was made with; name its own set and "
            "its options --group and --normal, or run compare again"
        )
