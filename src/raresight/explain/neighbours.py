"""What an image resembles: the nearest training images of each class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.errors import OptionError
from raresight.experiment.recipe import FittedRecipe
from raresight.images.store import ImageStore
from raresight.represent.embedding import Embedding
from raresight.represent.pixels import reduce_pixels

Array = NDArray[Any]
Rows = NDArray[np.int64]

COARSE = 28
"""Side of the images that are compared where there is nothing better."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The nearest training images of some images.

    Attributes
    ----------
    rows : (n, 2, k) int64 array
        Row numbers in the store: of normal ones, then of anomalous ones, nearest first; −1 where a class has
        fewer than k.
    distances : (n, 2, k) float64 array
        Euclidean; NaN where there is no row.
    usual : (2,) float64 array
        The median distance of a class's training images to their nearest of the same class.
    space : str
        Where distances are measured.
    """

    rows: NDArray[np.int64]
    distances: NDArray[np.float64]
    usual: NDArray[np.float64]
    space: str

    @property
    def relative(self) -> NDArray[np.float64]:
        """Distances in units of `usual`: 1 is as near as training images of the class are to each other."""
        found: NDArray[np.float64] = self.distances / self.usual[None, :, None]
        return found


def nearest_training(fitted: FittedRecipe, store: ImageStore, rows: Any, k: int = 1) -> Neighbours:
    """Find the nearest training images of each class.

    Distances are measured where the detector sees rows of features, standardised as it sees them; else in the
    frozen embedding; and between coarse images where the store is not of the embedding's size. An image that
    is a training image itself is not its own neighbour.

    Source: for examples as explanations Caruana et al., "Case-based explanation of non-case-based learning
    methods", AMIA Symposium 1999.

    Parameters
    ----------
    fitted : FittedRecipe
    store : ImageStore
        Holds the training rows and those asked about.
    rows : (n,) int array
    k : int
        Neighbours of each class.

    Raises
    ------
    OptionError
        If `k` is below 1.
    """
    if k < 1:
        raise OptionError(f"k={k} is too small; choose at least 1 neighbour")
    wanted = np.asarray(rows, np.int64)
    represent, space = _space(fitted, store)
    X = represent(wanted)
    found = np.full((len(wanted), 2, k), -1, np.int64)
    apart = np.full((len(wanted), 2, k), np.nan)
    usual = np.full(2, np.nan)
    for code in (0, 1):
        own = fitted.rows[store.manifest.y[fitted.rows] == code]
        if not len(own):
            continue
        Z = represent(own)
        distances = _distances(X, Z)
        distances[wanted[:, None] == own[None, :]] = np.inf
        usual[code] = _usual(Z)
        order = np.argsort(distances, axis=1, kind="stable")[:, :k]
        near = np.take_along_axis(distances, order, axis=1)
        there = np.isfinite(near)
        count = order.shape[1]
        found[:, code, :count] = np.where(there, own[order], -1)
        apart[:, code, :count] = np.where(there, near, np.nan)
    return Neighbours(found, apart, usual, space)


def _space(fitted: FittedRecipe, store: ImageStore) -> tuple[Any, str]:
    """Give what represents rows as (n, features) float64, and its name."""
    first = np.asarray(fitted.seen(store, fitted.rows[:1]))
    if first.ndim == 2 and fitted.recipe.representation.name != "cases":
        return (lambda rows: np.asarray(fitted.seen(store, rows), np.float64)), str(
            fitted.recipe.representation
        )
    if store.preprocess.size == 224:
        return (lambda rows: np.asarray(Embedding().transform(store, rows), np.float64)), "embedding"
    side = max(s for s in range(1, COARSE + 1) if store.preprocess.size % s == 0)
    return (
        lambda rows: reduce_pixels(store.pixels[rows], side).reshape(len(rows), -1).astype(np.float64)
    ), "pixels"


def _distances(a: Array, b: Array) -> NDArray[np.float64]:
    """(n, d), (m, d) → (n, m), about the mean of b, so that nothing cancels."""
    centre = b.mean(axis=0)
    a, b = a - centre, b - centre
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * a @ b.T
    return np.asarray(np.sqrt(np.maximum(squared, 0)), np.float64)


def _usual(rows: Array) -> float:
    if len(rows) < 2:
        return float("nan")
    distances = _distances(rows, rows)
    np.fill_diagonal(distances, np.inf)
    return float(np.median(distances.min(axis=1))) or float("nan")
