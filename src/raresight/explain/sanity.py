"""Whether a heatmap is about what a detector learned: without that, the map must go too.

Source: Adebayo, Gilmer, Muelly, Goodfellow, Hardt & Kim, "Sanity checks for saliency maps", NeurIPS 2018.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import nn

from raresight.errors import OptionError
from raresight.experiment.recipe import FittedRecipe
from raresight.explain.base import BLOCK, Heatmaps, make_method
from raresight.explain.gradients import GradientMethod, shuffle_tensors
from raresight.explain.measures import pointing_hits, pointing_null
from raresight.explain.outside import anatomy_of
from raresight.images.store import ImageStore

SAME = 0.5
"""Rank correlation with the true map from which a map without knowledge is the same map still."""

THIN = 7
"""Every so manieth pixel along each side is compared: neighbours hardly differ."""


def blind_heatmaps(
    fitted: FittedRecipe, store: ImageStore, rows: Any, method: str | None = "auto", seed: int = 0
) -> Heatmaps:
    """Explain images by a recipe all of whose weights are shuffled, a pretrained backbone's too.

    Parameters
    ----------
    fitted, store, rows, method
        See `raresight.explain.base.explain_images`.
    seed : int

    Returns
    -------
    (n, side, side) float32 array

    Raises
    ------
    OptionError
        If the detector keeps no weights, and the method follows no gradients; see `shuffle_labels`.
    """
    made, _ = make_method(fitted, method)
    if isinstance(made, GradientMethod):
        made.blind = seed
    else:
        fitted = shuffle_weights(fitted, seed)
    ready = made.prepare(fitted, store)
    index = np.asarray(rows, np.int64)
    parts = [ready.heatmaps(store, some) for some in np.array_split(index, -(-len(index) // BLOCK))]
    return np.concatenate(parts)


def shuffle_weights(fitted: FittedRecipe, seed: int = 0) -> FittedRecipe:
    """Shuffle every array that the detector learned, each within itself: what the numbers knew goes.

    Parameters
    ----------
    fitted : FittedRecipe
        Of a network, or of a detector that keeps arrays of its own.
    seed : int

    Raises
    ------
    OptionError
        If the detector has nothing of its own to shuffle, as one of scikit-learn's; see `shuffle_labels`.
    """
    detector = deepcopy(fitted.detector)
    random = np.random.default_rng(seed)
    learned = [(name, value) for name, value in vars(detector).items() if name.endswith("_")]
    shuffled = [_shuffle(detector, name, value, random) for name, value in learned]
    if not any(shuffled):
        raise OptionError(
            f"{fitted.recipe.model.name} keeps no weights that could be shuffled; shuffle its labels instead"
        )
    return replace(fitted, detector=detector)


def _shuffle(detector: Any, name: str, value: Any, random: np.random.Generator) -> bool:
    if isinstance(value, nn.Module):
        shuffle_tensors(value, random)
        return True
    if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.size > 1:
        setattr(detector, name, random.permutation(value.ravel()).reshape(value.shape))
        return True
    return False


def shuffle_labels(
    fitted: FittedRecipe, store: ImageStore, seed: int = 0, validation: NDArray[np.int64] | None = None
) -> FittedRecipe:
    """Fit a recipe again on the same rows, their labels dealt out at random.

    Parameters
    ----------
    fitted : FittedRecipe
    store : ImageStore
        Holds the training rows.
    seed : int
    validation : int64 array, optional
        For a network, the rows that say when to stop; their labels are shuffled too.

    Raises
    ------
    OptionError
        If the detector learns from no labels, or from masks, which would contradict them.
    """
    if fitted.recipe.one_class or fitted.detector.masks:
        what = "masks" if fitted.detector.masks else "normal images only"
        raise OptionError(f"{fitted.recipe.model.name} learns from {what}; shuffle its weights instead")
    labels = store.manifest.labels
    for rows in (fitted.rows, validation):
        if rows is not None:
            labels[rows] = np.random.default_rng(seed).permutation(labels[rows])
    manifest = replace(store.manifest, table=store.manifest.table.assign(label=labels))
    return fitted.recipe.fit(replace(store, manifest=manifest), fitted.rows, seed, validation=validation)


@dataclass(frozen=True, slots=True)
class Sanity:
    """What is left of maps once a detector knows nothing.

    Attributes
    ----------
    correlation : float
        Mean rank correlation with the true maps, within the anatomy, −1 to 1.
    pointing : float
        Pointing game of the maps without knowledge.
    null : float
        The best that a map which never knew anything plays; see `raresight.explain.measures.null_maps`.
    images : int
    """

    correlation: float
    pointing: float
    null: float
    images: int

    @property
    def destroyed(self) -> bool:
        """Whether the map is gone: neither the same nor, within two standard errors, better than chance."""
        error = np.sqrt(max(self.null * (1 - self.null), 1 / self.images) / self.images)
        return self.correlation < SAME and self.pointing <= self.null + 2 * error


def compare_with_random(
    true: Heatmaps,
    random: Heatmaps,
    pixels: NDArray[Any],
    masks: NDArray[Any],
    preset: str | None = None,
    usual: NDArray[Any] | None = None,
) -> Sanity:
    """Set maps of a detector that knows nothing beside the true ones.

    Parameters
    ----------
    true, random : (n, h, w) float32 arrays
    pixels : (n, h, w, c) array
    masks : (n, h, w) array
        Every image has a lesion.
    preset : str, optional
        Modality.
    usual : (h, w, c) array, optional
        The mean normal training image: what differs from it is known without any weight.
    """
    return Sanity(
        rank_correlation(true, random, pixels, preset),
        float(pointing_hits(random, masks).mean()),
        pointing_null(pixels, masks, preset, usual),
        len(true),
    )


def rank_correlation(a: Heatmaps, b: Heatmaps, pixels: NDArray[Any], preset: str | None = None) -> float:
    """Average Spearman's correlation of two maps of each image over its anatomy; 0 where a map is flat.

    The background is left out: two maps that are dark there agree on nothing.
    """
    found = []
    for one, other, image in zip(a, b, pixels, strict=True):
        inside = anatomy_of(image, preset)[::THIN, ::THIN]
        x, y = one[::THIN, ::THIN][inside], other[::THIN, ::THIN][inside]
        flat = not np.ptp(x) or not np.ptp(y)
        found.append(0.0 if flat else float(spearmanr(x, y).statistic))
    return float(np.mean(found))
