"""Inside the training rows: scores that a twin of the detector gives to rows it did not see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.errors import DataError, LeakageError
from raresight.experiment.recipe import FittedRecipe, Recipe
from raresight.images.splits import Rows, fewest_groups, inner_split, stratified_group_folds
from raresight.images.store import ImageStore

VALIDATION_SHARE = 0.15
"""Share of the training rows on which a network decides when to stop."""


@dataclass(frozen=True, slots=True)
class InnerScores:
    """What thresholds and calibration learn from: scores that know the rows that they belong to.

    Attributes
    ----------
    rows : (n,) int64 array
        Row numbers in the store.
    score : (n,) float64 array
        Of a multi-class task (n, classes), see `FittedRecipe.score`.
    label : (n,) int64 array
        1 = anomalous; of a multi-class task the class.
    """

    rows: Rows
    score: NDArray[np.float64]
    label: NDArray[np.int64]

    def check(self, groups: NDArray[Any], train: Rows, test: Rows) -> int:
        """Count the rows that are no training rows, or whose group is tested; there must be none.

        Parameters
        ----------
        groups : (n,) array
            Of all rows of the store.
        train, test : int64 arrays

        Raises
        ------
        LeakageError
            If there is one.
        """
        outside = ~np.isin(self.rows, train) | np.isin(groups[self.rows], groups[test])
        if outside.any():
            raise LeakageError(
                f"a threshold or calibration was about to learn from the scores of {int(outside.sum())} "
                "row(s) that are test rows, share a group with one, or are no training rows"
            )
        return 0


def fit_with_inner(
    recipe: Recipe, store: ImageStore, groups: NDArray[Any], train: Rows, inner_folds: int, seed: int
) -> tuple[FittedRecipe, InnerScores]:
    """Fit on training rows, and score those of them that a twin of the fit did not see.

    Returns
    -------
    fitted : FittedRecipe
        For a network, trained on all but the rows that say when to stop; else trained on all rows.
    inner : InnerScores
        Real rows only, untouched by any sampler, at the training rows' own prevalence. None without inner
        folds, but for a network.
    """
    y = store.manifest.y
    if not recipe.needs_anomalies and fewest_groups(y[train], groups[train]) < 2:
        # A lone anomalous group cannot stand on both sides, and such a detector does without it.
        train = train[y[train] == 0]
    if recipe.network:
        learn, held = inner_split(y[train], groups[train], VALIDATION_SHARE, seed)
        fitted = recipe.fit(store, train[learn], seed, groups, validation=train[held])
        return fitted, InnerScores(train[held], fitted.score(store, train[held]), y[train[held]])
    if inner_folds == 0:
        nothing = train[:0]
        return recipe.fit(store, train, seed, groups), InnerScores(nothing, np.empty(0), y[nothing])
    score = inner_scores(recipe, store, groups, train, inner_folds, seed)
    return recipe.fit(store, train, seed, groups), InnerScores(train, score, y[train])


def inner_scores(
    recipe: Recipe, store: ImageStore, groups: NDArray[Any], train: Rows, inner_folds: int, seed: int
) -> NDArray[np.float64]:
    """Score every training row out of fold, in fewer folds where a class has fewer groups."""
    y = store.manifest.y
    folds = min(inner_folds, fewest_groups(y[train], groups[train]))
    if folds < 2:
        many = store.manifest.task == "multiclass"
        lone, less = (
            ("group (patient) of a class", "")
            if many
            else ("anomalous group (patient)", ", a smaller --imbalance")
        )
        raise DataError(
            f"the training rows of a fold hold one {lone} only, and calibration needs two; "
            f"use fewer --folds{less}, or more images"
        )
    fold_of = stratified_group_folds(y[train], groups[train], folds, seed)
    found: NDArray[np.float64] | None = None
    for fold in range(folds):
        held = fold_of == fold
        score = recipe.fit(store, train[~held], seed, groups).score(store, train[held])
        found = np.empty((len(train), *score.shape[1:])) if found is None else found
        found[held] = score
    assert found is not None
    return found
