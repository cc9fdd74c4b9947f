"""One honest split of a set, and explanations of images that the recipe did not see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raresight.errors import DataError, OptionError
from raresight.evidence.format import decimal
from raresight.experiment.inner import fit_with_inner
from raresight.experiment.protocol import task_seed
from raresight.experiment.recipe import FittedRecipe
from raresight.experiment.task import learn_thresholds
from raresight.experiment.work import plan_work
from raresight.explain.base import Explainer, Explanation, check_method
from raresight.explain.gradients import usual_image
from raresight.explain.measures import Measures, measure_heatmaps, null_maps
from raresight.explain.neighbours import Neighbours, nearest_training
from raresight.explain.outside import HeatShares, heat_shares
from raresight.explain.table import table_contributions
from raresight.images.manifest import Manifest
from raresight.images.store import ImageStore
from raresight.progress import Progress, silent
from raresight.represent import REPRESENTATIONS

Rows = NDArray[np.int64]

MEASURED = 100
"""Anomalous test images with masks that maps are measured on, at most."""


@dataclass(frozen=True)
class Study:
    """Explanations of a recipe's test images.

    Attributes
    ----------
    store : ImageStore
    fitted : FittedRecipe
    threshold : float
        The score from which an image is called anomalous.
    explanation : Explanation
        Of the images shown; anomalous ones first.
    scores : (n,) float64 array
    neighbours : Neighbours
    shares : HeatShares
    masks : (n, side, side) uint8 array or None
        Of the images shown, where the set knows lesions.
    measures : dict of str to Measures
        ``"heatmap"`` and the maps that know nothing, over anomalous test images with masks; empty without.
    contributions : pandas.DataFrame or None
        Of a case's images and columns, see `raresight.explain.table.table_contributions`.
    notes : tuple of str
        What the user should know of the split.
    """

    store: ImageStore
    fitted: FittedRecipe
    threshold: float
    explanation: Explanation
    scores: NDArray[np.float64]
    neighbours: Neighbours
    shares: HeatShares
    masks: NDArray[np.uint8] | None
    measures: dict[str, Measures]
    contributions: pd.DataFrame | None
    notes: tuple[str, ...]

    @property
    def files(self) -> list[str]:
        """Names of the images shown."""
        names = self.store.manifest.files
        return [names[row] for row in self.explanation.rows]

    @property
    def called(self) -> NDArray[np.bool_]:
        """(n,) whether each image shown is called anomalous."""
        return np.asarray(self.scores >= self.threshold)

    def sentences(self) -> list[str]:
        """Say how images were explained, how well the maps find lesions, and where they rest."""
        shown = self.explanation
        told = [
            f"{self.fitted.recipe.id}, trained on {len(self.fitted.rows)} images and shown {len(shown.rows)} "
            f"that it did not see, explained by {shown.method} in {1000 * shown.seconds:.0f} ms an image."
        ]
        if self.measures:
            told.append(_measured_sentence(self.measures))
        return [*told, *self.shares.sentences(self.files, self.called)]

    def table(self) -> pd.DataFrame:
        """Give a row an image shown: score, decision, heat, nearest training images, contributions."""
        manifest, near = self.store.manifest, self.neighbours
        names = np.array([*manifest.files, ""], object)
        found: dict[str, Any] = {
            "row": self.explanation.rows,
            "file": self.files,
            "label": manifest.labels[self.explanation.rows],
            "score": self.scores,
            "threshold": self.threshold,
            "decision": np.where(self.called, "anomalous", "normal"),
            "heat_outside_anatomy": self.shares.outside,
            "heat_on_border": self.shares.border,
            "flagged": self.shares.flagged & self.called,
        }
        for code, kind in enumerate(("normal", "anomalous")):
            found[f"nearest_{kind}"] = names[near.rows[:, code, 0]]
            found[f"nearest_{kind}_distance"] = near.distances[:, code, 0]
            found[f"nearest_{kind}_relative"] = near.relative[:, code, 0]
        frame = pd.DataFrame(found)
        if self.contributions is None:
            return frame
        return pd.concat([frame, self.contributions.add_prefix("contribution_")], axis=1)

    def as_dict(self) -> dict[str, Any]:
        """Give everything but the pictures, for JSON."""
        shown = self.explanation
        rows = self.table().astype(object)
        return {
            "recipe": self.fitted.recipe.settings(),
            "method": shown.method,
            "grid": shown.grid,
            "seconds": shown.seconds,
            "prepare_seconds": shown.prepare_seconds,
            "neighbours_in": self.neighbours.space,
            "images": rows.where(rows.notna(), None).to_dict("records"),
            "measures": {name: each.as_dict() for name, each in self.measures.items()},
            "sentences": self.sentences(),
            "notes": list(self.notes),
        }


def _measured_sentence(measures: dict[str, Measures]) -> str:
    own = measures["heatmap"]
    chance = measures["random point"].auprc
    null = max((each.pointing, name) for name, each in measures.items() if name != "heatmap")
    return (
        f"On {own.images} anomalous test images with masks the map's highest point lies on the lesion in "
        f"{own.pointing:.0%} (the best map that knows nothing, {null[1]}: {null[0]:.0%}); AUPRO "
        f"{decimal(own.aupro, 2)} (chance .15), pixel AUPRC {decimal(own.auprc, 2)} "
        f"(chance {decimal(chance, 2)}), IoU at the best threshold {decimal(own.iou, 2)}."
    )


def explain_set(
    images: Manifest,
    model: str = "svm",
    *,
    method: str = "auto",
    balance: str = "none",
    representation: str | None = None,
    n: int = 12,
    measured: int = MEASURED,
    seed: int = 0,
    progress: Progress = silent,
    **options: Any,
) -> Study:
    """Train a recipe on one split of a set, patients on one side, and explain images that it did not see.

    Parameters
    ----------
    images : Manifest
    model, balance, representation : str
        As `raresight.compare` takes them, one of each.
    method : str
        See `raresight.explain.base.Explainer`.
    n : int
        Images shown, half of them anomalous where there are so many.
    measured : int
        Anomalous test images with masks that maps are measured on, at most; 0: none.
    seed : int
        Of the split, the training, and which images are shown.
    progress : callable, optional
    **options
        Further ones of `raresight.compare`: preprocessing, groups, folds …

    Raises
    ------
    OptionError
        If `n` is below 1, or the method does not suit the recipe.
    DataError
        If the set cannot be split.
    """
    if n < 1:
        raise OptionError(f"--n {n} is too small; choose at least 1 image")
    check_method(method)
    work = plan_work(
        images, [model], [balance], representation=representation, seed=seed, progress=progress, **options
    )
    store, (recipe, split) = work.store, (work.tasks[0].recipe, work.tasks[0].split)
    space = recipe.representation.make(REPRESENTATIONS)
    if not space.learned:
        space.whole(store, progress)
    chance = task_seed(work.protocol.seed, split.repeat, split.fold)
    train = work.protocol.thinned(store.manifest.y, work.grouping.names, split.train, chance)
    with progress("training", 1) as tick:
        fitted, inner = fit_with_inner(
            recipe, store, work.grouping.names, train, work.protocol.inner_folds, chance
        )
        tick(1)
    prevalence = float(store.manifest.y[split.train].mean())
    threshold = learn_thresholds(recipe, fitted, inner, (), prevalence)["default"]
    explainer = Explainer(fitted, store, method)
    rows = choose_rows(store.manifest.y, split.test, n, seed)
    with progress("explaining", len(rows)) as tick:
        shown = explainer.explain(store, rows)
        tick(len(rows))
    masks, measures, notes = _measured(explainer, store, split.test, rows, measured, seed, progress)
    preset = store.preprocess.preset
    return Study(
        store,
        fitted,
        threshold,
        shown,
        fitted.score(store, rows),
        nearest_training(fitted, store, rows),
        heat_shares(shown.heatmaps, store.pixels[rows], preset, shown.grid),
        masks,
        measures,
        table_contributions(fitted, store, rows) if recipe.representation.name == "cases" else None,
        (*work.notices, *notes),
    )


def choose_rows(y: NDArray[np.int64], test: Rows, n: int, seed: int) -> Rows:
    """Draw images to show, anomalous ones first: half of each class, or more of one."""
    random = np.random.default_rng(seed)
    anomalous, normal = (random.permutation(test[y[test] == code]) for code in (1, 0))
    many = min(len(anomalous), max(n - n // 2, n - len(normal)))
    return np.concatenate([np.sort(anomalous[:many]), np.sort(normal[: n - many])])


def _measured(
    explainer: Explainer,
    store: ImageStore,
    test: Rows,
    shown: Rows,
    most: int,
    seed: int,
    progress: Progress,
) -> tuple[NDArray[np.uint8] | None, dict[str, Measures], list[str]]:
    """Give the masks of the images shown, and the measures, where the set knows lesions."""
    try:
        masks = store.masks
    except DataError as error:
        return None, {}, [f"the maps are not measured: {str(error).partition(chr(59))[0]}"]
    ill = test[(store.manifest.y[test] == 1) & masks[test].any(axis=(1, 2))]
    rows = np.sort(np.random.default_rng(seed).permutation(ill)[:most])
    if not len(rows):
        return np.asarray(masks[shown]), {}, []
    with progress("measuring maps", len(rows)) as tick:
        maps = explainer.explain(store, rows).heatmaps
        tick(len(rows))
    usual = usual_image(explainer.method.fitted, store)
    known = null_maps(store.pixels[rows], store.preprocess.preset, usual)
    measures = {
        name: measure_heatmaps(each, masks[rows]) for name, each in {"heatmap": maps, **known}.items()
    }
    return np.asarray(masks[shown]), measures, []
