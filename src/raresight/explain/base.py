"""What every method of explanation offers, and the one call that runs one."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from raresight.errors import OptionError
from raresight.experiment.recipe import FittedRecipe
from raresight.explain import METHODS
from raresight.images.store import ImageStore
from raresight.spec import Spec, parse_spec

Rows = NDArray[np.int64]
Heatmaps = NDArray[np.float32]

DEFAULTS = ("mask", "patch-distance", "residual", "integrated-maps", "map-occlusion", "occlusion")
"""In this order, the first that suits a recipe is its default: a detector's own map where it has one."""

BLOCK = 8
"""Images explained at once, so that memory stays bounded."""


class Method:
    """Base of the methods: from a fitted recipe and images to heatmaps.

    Attributes
    ----------
    grid : int
        Places a side that its maps have before they are enlarged: how finely they can point.
    blind : int or None
        A seed: `prepare` shuffles all weights from pixels to score. For `raresight.explain.sanity`.
    """

    grid: int = 0
    blind: int | None = None

    @classmethod
    def suits(cls, fitted: FittedRecipe) -> bool:
        """Tell whether the method can explain a recipe."""
        raise NotImplementedError

    def prepare(self, fitted: FittedRecipe, store: ImageStore) -> Self:
        """Settle what is the same for every image; `store` holds the training rows."""
        self.fitted, self.side = fitted, store.preprocess.size
        return self

    def heatmaps(self, store: ImageStore, rows: Rows) -> Heatmaps:
        """Explain rows of a store: (n, side, side) float32, higher = more anomalous."""
        raise NotImplementedError

    def enlarge(self, maps: NDArray[Any]) -> Heatmaps:
        """Enlarge (n, h, w) maps to the store's side, bilinearly."""
        self.grid = self.grid or int(maps.shape[1])
        return enlarged(maps, self.side)


def enlarged(maps: NDArray[Any], side: int) -> Heatmaps:
    """Resize (n, h, w) maps to (n, side, side) float32, bilinearly."""
    planes = torch.from_numpy(np.ascontiguousarray(maps, np.float32))[:, None]
    if planes.shape[2:] == (side, side):
        return np.asarray(maps, np.float32)
    large = interpolate(planes, size=(side, side), mode="bilinear", align_corners=False)
    return np.asarray(large[:, 0].numpy(), np.float32)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where a recipe looked.

    Attributes
    ----------
    heatmaps : (n, side, side) float32 array
        In the coordinates of the store's images, higher = more anomalous. Only the order within a map means
        the same for every method.
    rows : (n,) int64 array
        Row numbers in the store.
    method : str
        As it was run, options included.
    grid : int
        Places a side of the maps before they were enlarged.
    seconds : float
        An image, the store's cached features not counted.
    prepare_seconds : float
        Once for all images.
    """

    heatmaps: Heatmaps
    rows: Rows
    method: str
    grid: int
    seconds: float
    prepare_seconds: float


class Explainer:
    """One method, made ready for one recipe, so that images can be explained one at a time.

    Parameters
    ----------
    fitted : FittedRecipe
    store : ImageStore
        The one that holds the recipe's training rows.
    method : str, optional
        Of `raresight.explain.METHODS`, with options in brackets: ``"occlusion[window=24]"``. ``"auto"``, the
        default, takes what suits the recipe; see `default_method`.

    Raises
    ------
    OptionError
        If the method is unknown or does not suit the recipe, or the recipe tells more than two classes apart.
    """

    def __init__(self, fitted: FittedRecipe, store: ImageStore, method: str | None = "auto") -> None:
        if fitted.shifts is not None:
            raise OptionError(
                "explanations are of one score, normal against anomalous, and --task multiclass has one a "
                "class; name the normal classes with --normal instead"
            )
        start = time.perf_counter()
        found, self.name = make_method(fitted, method)
        self.method = found.prepare(fitted, store)
        self.prepare_seconds = time.perf_counter() - start

    def explain(self, store: ImageStore, rows: Any) -> Explanation:
        """Explain rows of a store, which may be another than that of the training rows.

        Parameters
        ----------
        store : ImageStore
        rows : (n,) int array
        """
        index = np.asarray(rows, np.int64)
        found = np.empty((len(index), store.preprocess.size, store.preprocess.size), np.float32)
        start = time.perf_counter()
        for first in range(0, len(index), BLOCK):
            found[first : first + BLOCK] = self.method.heatmaps(store, index[first : first + BLOCK])
        seconds = (time.perf_counter() - start) / max(1, len(index))
        return Explanation(found, index, self.name, self.method.grid, seconds, self.prepare_seconds)


def explain_images(
    fitted: FittedRecipe, store: ImageStore, rows: Any, method: str | None = "auto"
) -> Explanation:
    """Show where a fitted recipe looked in some images.

    Parameters
    ----------
    fitted, method
        See `Explainer`.
    store : ImageStore
        Holds the recipe's training rows and the images to explain.
    rows : (n,) int array
        The images.

    Returns
    -------
    Explanation

    Raises
    ------
    OptionError
        See `Explainer`.
    """
    return Explainer(fitted, store, method).explain(store, rows)


def make_method(fitted: FittedRecipe, method: str | None = "auto") -> tuple[Method, str]:
    """Give a method that suits a recipe, not yet prepared, and its name with the options given.

    Raises
    ------
    OptionError
        If the method is unknown or does not suit the recipe.
    """
    spec = parse_spec(method or "auto")
    if spec.name == "auto":
        spec = Spec(default_method(fitted), spec.options)
    if not METHODS[spec.name].load().suits(fitted):
        raise OptionError(
            f"{spec.name} cannot explain {fitted.recipe.id}; there are: {', '.join(suitable_methods(fitted))}"
        )
    made: Method = spec.make(METHODS)
    return made, str(spec)


def check_method(method: str | None) -> None:
    """Refuse a method or an option that does not exist, before anything is trained.

    Raises
    ------
    OptionError
    """
    spec = parse_spec(method or "auto")
    if spec.name != "auto":
        spec.make(METHODS)


def suitable_methods(fitted: FittedRecipe) -> list[str]:
    """Name the methods that can explain a recipe."""
    return [name for name in METHODS if METHODS[name].load().suits(fitted)]


def default_method(fitted: FittedRecipe) -> str:
    """Name the method that a recipe is explained by unless another is asked for; see `DEFAULTS`.

    Of a one-class detector on features it is ``gradient-maps`` in place of ``integrated-maps``.
    """
    found = next(name for name in DEFAULTS if METHODS[name].load().suits(fitted))
    return "gradient-maps" if found == "integrated-maps" and fitted.recipe.one_class else found
