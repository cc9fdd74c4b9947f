"""The leaky twin: the comparison the way it is often published, to see what that alone is worth.

Everything here is wrong on purpose. The whole set is thinned, projected, scaled and over-sampled, and only
then split at random, with no regard to patients or duplicates: test rows are synthetic, or parents of
training rows. Its predictions are kept apart and never enter a metric of the run or a verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from raresight.balance import SAMPLERS
from raresight.balance.plan import SynthesisPlan
from raresight.detect import DETECTORS
from raresight.experiment.balancing import Balancing, split_balance
from raresight.experiment.inner import VALIDATION_SHARE
from raresight.experiment.protocol import Protocol, task_seed
from raresight.experiment.recipe import Recipe
from raresight.images.masks import reduced_masks
from raresight.images.splits import Rows, inner_split, stratified_group_folds
from raresight.images.store import ImageStore
from raresight.represent import REPRESENTATIONS

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class LeakyTask:
    """A recipe with a sampler, and one fold of a set that was balanced before it was split."""

    recipe: Recipe
    repeat: int
    fold: int

    @property
    def key(self) -> tuple[str, int, int]:
        """Recipe id, repeat and fold."""
        return self.recipe.id, self.repeat, self.fold


def leaky_tasks(recipes: Iterable[Recipe], protocol: Protocol) -> list[LeakyTask]:
    """List what the leaky twin of a comparison consists of: recipes that change the training rows."""
    return [
        LeakyTask(recipe, repeat, fold)
        for recipe in recipes
        if changes_rows(recipe)
        for repeat in range(protocol.repeats)
        for fold in range(protocol.folds)
    ]


def changes_rows(recipe: Recipe) -> bool:
    """Tell whether a recipe's balance adds or removes training rows; costs and thresholds don't."""
    sampler = split_balance(recipe.balance)[0].make(SAMPLERS)
    return recipe.balance.name != "none" and not hasattr(sampler, "sample_weight")


def run_leaky(task: LeakyTask, store: ImageStore, protocol: Protocol) -> pd.DataFrame:
    """Balance a whole set, split it at random, train on one part and score the other.

    Returns
    -------
    pandas.DataFrame
        One row a test row of the balanced set: ``recipe, repeat, fold, row`` (its number there), ``file``
        (empty where it is synthetic), ``group`` (itself), ``label, score, probability`` (NaN), ``threshold``
        (the detector's default), ``synthetic``, and ``related``: it is made from a training row, or a
        training row from it or from one of its parents.
    """
    recipe, seed = task.recipe, task_seed(protocol.seed, task.repeat)
    y, rows = store.manifest.y, np.arange(len(store))
    rows = protocol.thinned(y, rows, rows, seed)
    space = recipe.representation.make(REPRESENTATIONS).fit(store, rows)
    X = space.transform(store, rows)
    balancing = Balancing.of(recipe.balance, store, rows, seed, None, recipe.device)
    plan = balancing.plan(space, X, y[rows])
    label = plan.hard_labels(y[rows])
    fold_of = stratified_group_folds(label, np.arange(len(label)), protocol.folds, seed)
    train, test = np.flatnonzero(fold_of != task.fold), np.flatnonzero(fold_of == task.fold)
    modality = store.preprocess.preset or "default"
    detector = recipe.model.make(DETECTORS, random_state=seed, augmentation=modality, device=recipe.device)
    if detector.network:
        masks = plan.view(reduced_masks(store, X.shape[1])[rows]) if detector.masks else None
        score = _network_scores(detector, plan.view(X), label, train, test, seed, masks)
    else:
        whole = balancing.balanced(plan, space, X)
        if detector.scaled and X.ndim == 2:
            whole = StandardScaler().fit(X).transform(whole)
        score = detector.fit(whole[train], label[train]).decision_function(whole[test])
    files = np.array([store.manifest.files[row] for row in rows[plan.keep]] + [""] * len(plan))
    return pd.DataFrame(
        {
            "recipe": recipe.id,
            "repeat": task.repeat,
            "fold": task.fold,
            "row": test,
            "file": files[test],
            "group": test.astype(np.str_),
            "label": label[test],
            "score": np.asarray(score, np.float64),
            "probability": np.nan,
            "threshold": float(detector.default_threshold),
            "synthetic": test >= len(plan.keep),
            "related": _related(plan, train, test),
        }
    )


def _network_scores(
    detector: Any, whole: Any, label: Array, train: Rows, test: Rows, seed: int, masks: Any = None
) -> NDArray[np.float64]:
    from raresight.networks.rows import Subset

    learn, held = (train[part] for part in inner_split(label[train], train, VALIDATION_SHARE, seed))
    seen = (Subset(whole, held), label[held])
    if masks is None:
        detector.fit(Subset(whole, learn), label[learn], validation=seen)
    else:
        detector.fit(Subset(whole, learn), label[learn], masks=masks[learn], validation=(*seen, masks[held]))
    scores: NDArray[np.float64] = detector.decision_function(Subset(whole, test))
    return scores


def _related(plan: SynthesisPlan, train: Rows, test: Rows) -> NDArray[np.bool_]:
    origins: Sequence[Rows] = [np.concatenate([plan.keep, part]) for part in (plan.base, plan.partner)]
    learned = np.concatenate([origin[train] for origin in origins])
    return np.isin(origins[0][test], learned) | np.isin(origins[1][test], learned)
