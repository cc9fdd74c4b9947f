"""How far a detector's answers to one image scatter: over fold models, over dropout, over the image's views.

Every method gives each image the mean and the standard deviation of several scores. They say how firmly the
detector holds its answer, not how often it is right: what each is worth against the plain score is measured
in `benchmarks/conformal.md`, by risk and coverage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from raresight.errors import OptionError
from raresight.experiment.recipe import FittedRecipe, Recipe
from raresight.images.augment import Augmentation, find_augmentation, fixed_views
from raresight.images.splits import Rows, stratified_group_folds
from raresight.images.store import ImageStore
from raresight.networks.training import local_seed

Floats = NDArray[np.float64]

BLOCK = 32
"""Images that are scored at once."""

DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)


@dataclass(frozen=True, slots=True)
class Doubt:
    """How scores of the same images scatter.

    Attributes
    ----------
    mean, spread : (n,) float64 arrays
        Mean and standard deviation of an image's scores, on the scale of the score.
    """

    mean: Floats
    spread: Floats


def doubt_images(
    fitted: FittedRecipe | Sequence[FittedRecipe],
    store: ImageStore,
    rows: Rows,
    method: str = "ensemble",
    *,
    passes: int = 8,
    seed: int = 0,
) -> Doubt:
    """Score images several times, and give mean and spread.

    Parameters
    ----------
    fitted : FittedRecipe or sequence of such
        One; for ``"ensemble"`` at least two, as `fit_members` gives them.
    store : ImageStore
    rows : int64 array
        Images that none of the recipes was fitted on, else the spread is too small.
    method : {"ensemble", "dropout", "augmentation"}
        Over several fits (Lakshminarayanan, Pritzel & Blundell, "Simple and scalable predictive uncertainty
        estimation using deep ensembles", NeurIPS 2017); over dropout's masks, of networks that have any (Gal
        & Ghahramani, "Dropout as a Bayesian approximation", ICML 2016); or over mirrored and slightly moved
        views of each image (Wang et al., "Aleatoric uncertainty estimation with test-time augmentation",
        Neurocomputing 338 (2019)).
    passes : int
        Masks, or views; at least 2. An ensemble has as many as there are fits.
    seed : int
        Of dropout's masks.

    Raises
    ------
    OptionError
        If there is no such method, or it does not fit the recipe.
    """
    fits = [fitted] if isinstance(fitted, FittedRecipe) else list(fitted)
    if method not in METHODS:
        raise OptionError(f"unknown method {method!r} of doubt; there are: {', '.join(METHODS)}")
    if any(one.shifts is not None for one in fits):
        raise OptionError("doubt is about one score, and a multi-class task has several")
    if method == "ensemble":
        if len(fits) < 2:
            raise OptionError("an ensemble needs at least two fits; make them with fit_members")
        return _summary([one.score(store, rows) for one in fits])
    if len(fits) != 1 or passes < 2:
        raise OptionError(f"{method} takes one fitted recipe and at least 2 passes")
    return _summary(PASSES[method](fits[0], store, rows, passes, seed))


def fit_members(
    recipe: Recipe,
    store: ImageStore,
    groups: NDArray[Any],
    rows: Rows | None = None,
    *,
    folds: int = 5,
    seed: int = 0,
) -> list[FittedRecipe]:
    """Fit a recipe once a fold, each time without that fold's patients.

    Parameters
    ----------
    recipe : Recipe
    store : ImageStore
    groups : (len(store),) array
    rows : int64 array, optional
        To learn from; by default all.
    folds : int
        How many fits; at least 2. A network stops by the fold that it does not see.
    seed : int

    Returns
    -------
    list of FittedRecipe
    """
    rows = np.arange(len(store)) if rows is None else rows
    fold_of = stratified_group_folds(store.manifest.y[rows], groups[rows], folds, seed)
    members = []
    for fold in range(folds):
        held = rows[fold_of == fold] if recipe.network else None
        members.append(recipe.fit(store, rows[fold_of != fold], seed, groups, validation=held))
    return members


def gentle(how: Augmentation) -> Augmentation:
    """Keep a modality's mirror images, and make its moves small enough that no finding leaves the image."""
    low, high = how.scale
    return replace(how, rotation=min(how.rotation, 5.0), scale=(max(low, 0.95), min(high, 1.05)), shift=0.02)


def _over_dropout(
    fitted: FittedRecipe, store: ImageStore, rows: Rows, passes: int, seed: int
) -> Iterator[Floats]:
    """Score with dropout left on, and nothing else as in training."""
    scorer = fitted.detector.scorer() if fitted.recipe.network else nn.Identity()
    layers = [layer for layer in scorer.modules() if isinstance(layer, DROPOUTS) and layer.p > 0]
    if not layers:
        raise OptionError(f"{fitted.recipe.id} has no dropout to leave on; use augmentation or an ensemble")
    X = fitted.seen(store, rows)
    scorer.eval()
    try:
        for layer in layers:
            layer.train()
        for number in range(passes):
            with local_seed(seed + number, "cpu"), torch.inference_mode():
                parts = [
                    scorer(torch.from_numpy(np.array(X[i : i + BLOCK]))) for i in range(0, len(X), BLOCK)
                ]
            yield torch.cat(parts).double().numpy() + fitted.shift
    finally:
        scorer.eval()


def _over_views(
    fitted: FittedRecipe, store: ImageStore, rows: Rows, passes: int, seed: int
) -> Iterator[Floats]:
    """Score each image as it is, mirrored as its modality allows, and slightly moved; represented anew."""
    if not hasattr(fitted.space, "of"):
        raise OptionError(f"{fitted.recipe.representation} cannot represent a moved image; use an ensemble")
    how = gentle(find_augmentation(store.preprocess.preset or "default"))
    found = np.empty((passes, len(rows)))
    for start in range(0, len(rows), BLOCK):
        pixels = np.asarray(store.pixels[rows[start : start + BLOCK]])
        most = np.iinfo(pixels.dtype).max
        planes = torch.from_numpy(pixels.astype(np.float32)).permute(0, 3, 1, 2)
        for number, view in enumerate(fixed_views(planes, how, passes)):
            moved = view.permute(0, 2, 3, 1).round().clamp(0, most).numpy().astype(pixels.dtype)
            seen = fitted.space.of(moved)
            seen = seen if fitted.scaler is None else fitted.scaler.transform(seen)
            found[number, start : start + len(pixels)] = fitted.predict_seen(seen)[0]
    yield from found


PASSES: dict[str, Callable[..., Iterator[Floats]]] = {
    "dropout": _over_dropout,
    "augmentation": _over_views,
}
"""Name → (fitted, store, rows, passes, seed) → scores of every image, pass by pass."""

METHODS = ("ensemble", *PASSES)


def _blocks(X: NDArray[Any]) -> Iterator[NDArray[Any]]:
    for start in range(0, len(X), BLOCK):
        yield X[start : start + BLOCK]


def _summary(scores: Iterable[Floats]) -> Doubt:
    every = np.stack(list(scores))
    return Doubt(every.mean(axis=0), every.std(axis=0, ddof=1))
