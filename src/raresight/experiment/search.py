"""Tuning by cross-validation inside the training rows."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from raresight.balance import SAMPLERS
from raresight.detect import DETECTORS
from raresight.errors import OptionError
from raresight.experiment.inner import InnerScores, fit_with_inner
from raresight.experiment.protocol import Protocol
from raresight.experiment.recipe import Recipe
from raresight.images.splits import Rows
from raresight.images.store import ImageStore


def tune(
    recipe: Recipe, store: ImageStore, groups: NDArray[Any], train: Rows, protocol: Protocol, seed: int
) -> Recipe:
    """Choose the options of a recipe's detector and sampler by inner out-of-fold AUROC.

    The first setting tried is the default one. Source of the search: Bergstra et al. 2011 (TPE), by optuna.

    Returns
    -------
    Recipe
        With the best options; those that the user gave are never changed.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    detector = DETECTORS[recipe.model.name].load()
    if len(np.unique(store.manifest.y[train])) < 2:
        raise OptionError("--tune needs anomalies to choose by, and --anomalies 0 leaves none")

    def objective(trial: optuna.Trial) -> float:
        options = {
            "model": detector.search_space(trial),
            "balance": _balance_space(recipe, store, train, protocol, trial),
        }
        trial.set_user_attr("options", options)
        tried = recipe.tuned(options)
        _, inner = fit_with_inner(tried, store, groups, train, protocol.inner_folds, seed)
        return _auroc(inner)

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    study.enqueue_trial(_defaults(recipe, detector))
    study.optimize(objective, n_trials=protocol.tune)
    return recipe.tuned(study.best_trial.user_attrs["options"])


def _auroc(inner: InnerScores) -> float:
    """Rank the inner scores; of several classes the mean over each against the rest."""
    if inner.score.ndim == 1:
        return float(roc_auc_score(inner.label, inner.score))
    classes = range(inner.score.shape[1])
    return float(np.mean([roc_auc_score(inner.label == c, inner.score[:, c]) for c in classes]))


def _defaults(recipe: Recipe, detector: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for target in (detector, SAMPLERS[recipe.balance.name].load()):
        for name, parameter in inspect.signature(target).parameters.items():
            if isinstance(parameter.default, int | float):
                found[name] = parameter.default
    return found


def _balance_space(
    recipe: Recipe, store: ImageStore, train: Rows, protocol: Protocol, trial: Any
) -> dict[str, Any]:
    """Neighbours to try, as many as the smallest class has in an inner fold."""
    takes = inspect.signature(SAMPLERS[recipe.balance.name].load()).parameters
    option = next((name for name in ("k_neighbors", "n_neighbors") if name in takes), None)
    if option is None:
        return {}
    smallest = (
        int(np.bincount(store.manifest.y[train]).min()) * (protocol.inner_folds - 1) // protocol.inner_folds
    )
    most = max(1, min(15, smallest - 2))
    return {option: trial.suggest_int(option, min(3, most), most)}
