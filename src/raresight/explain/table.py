"""What each image and each column of the table adds to a case's score."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from captum.attr import ShapleyValues, ShapleyValueSampling
from numpy.typing import NDArray
from torch import Tensor

from raresight.errors import OptionError
from raresight.experiment.recipe import FittedRecipe
from raresight.explain.occlusion import score_seen
from raresight.images.store import ImageStore
from raresight.networks.training import local_seed

EXACT = 6
"""Players up to which every coalition is tried; of more, orders are drawn."""

ORDERS = 50


def table_contributions(fitted: FittedRecipe, store: ImageStore, rows: Any, seed: int = 0) -> pd.DataFrame:
    """Share each case's score out among its images and the columns of its table, by Shapley values.

    A player that is left out has the mean of the training cases in place of its features; an image or cell
    that is missing is missing when its player is in. So a case's contributions sum to its score less that of
    the mean case.

    Source: Lundberg & Lee, "A unified approach to interpreting model predictions", NeurIPS 2017; Castro,
    Gómez & Tejada, "Polynomial calculation of the Shapley value based on sampling", Computers & Operations
    Research 36 (2009); captum's implementation.

    Parameters
    ----------
    fitted : FittedRecipe
        On the representation ``cases``.
    store : ImageStore
        Holds the training rows and those asked about.
    rows : (n,) int array
    seed : int
        Of the orders drawn where there are more than six images and columns.

    Returns
    -------
    pandas.DataFrame
        (n, images and columns) float64, on the scale of the score.

    Raises
    ------
    OptionError
        If the recipe sees no cases.
    """
    if fitted.recipe.representation.name != "cases":
        raise OptionError(
            f"{fitted.recipe.id} sees no table; contributions of columns are there for "
            "--representation cases[table=…]"
        )
    players = _players(fitted.space)
    X = np.asarray(fitted.space.transform(store, np.asarray(rows, np.int64)), np.float64)
    usual = _mean(np.asarray(fitted.space.transform(store, fitted.rows), np.float64))
    with local_seed(seed):
        found = [_shares(fitted, row, usual, list(players.values())) for row in X]
    return pd.DataFrame(np.reshape(found, (len(X), len(players))), columns=list(players))


def _players(space: Any) -> dict[str, slice]:
    """Give each image's and each column's features."""
    found = {block.name: slice(block.start, block.stop) for block in space.blocks_ if not block.table}
    start = max((part.stop for part in found.values()), default=0)
    for column in space.columns_:
        found[column.name] = slice(start, start + column.width)
        start += column.width
    return found


def _mean(X: NDArray[np.float64]) -> NDArray[np.float64]:
    there = ~np.isnan(X)
    total: NDArray[np.float64] = np.where(there, X, 0).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
    return total


def _shares(
    fitted: FittedRecipe, row: NDArray[np.float64], usual: NDArray[np.float64], players: list[slice]
) -> NDArray[np.float64]:
    def score(inside: Tensor) -> Tensor:
        """Score coalitions, (m, players) of 0 and 1."""
        made = np.repeat(usual[None], len(inside), axis=0)
        for place, part in enumerate(players):
            made[inside[:, place].numpy() > 0, part] = row[part]
        return torch.from_numpy(score_seen(fitted, made.astype(np.float32)).astype(np.float64))

    everyone = torch.ones(1, len(players), dtype=torch.float64)
    if len(players) <= EXACT:
        shares: Tensor = ShapleyValues(score).attribute(everyone, perturbations_per_eval=64)
    else:
        sampling = ShapleyValueSampling(score)
        shares = sampling.attribute(everyone, n_samples=ORDERS, perturbations_per_eval=64)
    found: NDArray[np.float64] = shares[0].detach().numpy()
    return found
