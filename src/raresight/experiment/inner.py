"""Inside the training rows: scores that a twin of the detector gives to rows it did not see."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.errors import DataError
from raresight.experiment.recipe import FittedRecipe, Recipe
from raresight.images.splits import Rows, fewest_groups, inner_split, stratified_group_folds
from raresight.images.store import ImageStore

VALIDATION_SHARE = 0.15
"""Share of the training rows on which a network decides when to stop."""


def fit_with_inner(
    recipe: Recipe, store: ImageStore, groups: NDArray[Any], train: Rows, inner_folds: int, seed: int
) -> tuple[FittedRecipe, NDArray[np.float64], NDArray[np.int64]]:
    """Fit on training rows, and score those of them that a twin of the fit did not see.

    Returns
    -------
    fitted : FittedRecipe
        For a network, trained on all but the rows that say when to stop; else trained on all rows.
    inner_score, inner_label : arrays
        Real rows only, untouched by any sampler, at the training rows' own prevalence.
    """
    y = store.manifest.y
    if recipe.network:
        learn, held = inner_split(y[train], groups[train], VALIDATION_SHARE, seed)
        fitted = recipe.fit(store, train[learn], seed, groups, validation=train[held])
        return fitted, fitted.score(store, train[held]), y[train[held]]
    score = inner_scores(recipe, store, groups, train, inner_folds, seed)
    return recipe.fit(store, train, seed, groups), score, y[train]


def inner_scores(
    recipe: Recipe, store: ImageStore, groups: NDArray[Any], train: Rows, inner_folds: int, seed: int
) -> NDArray[np.float64]:
    """Score every training row out of fold, in fewer folds where a class has fewer groups."""
    y = store.manifest.y
    folds = min(inner_folds, fewest_groups(y[train], groups[train]))
    if folds < 2:
        raise DataError(
            "the training rows of a fold hold one anomalous group (patient) only, and calibration needs two; "
            "use fewer --folds, a smaller --imbalance, or more images"
        )
    fold_of = stratified_group_folds(y[train], groups[train], folds, seed)
    score = np.empty(len(train))
    for fold in range(folds):
        held = fold_of == fold
        score[held] = recipe.fit(store, train[~held], seed, groups).score(store, train[held])
    return score
