"""What becomes of the score when a part of the image is blotted out, or of its maps made normal."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import torch
from monai.visualize import OcclusionSensitivity
from numpy.typing import NDArray
from torch import Tensor, nn

from raresight.errors import OptionError
from raresight.experiment.recipe import FittedRecipe
from raresight.explain.base import Heatmaps, Method, Rows
from raresight.explain.gradients import usual_rows
from raresight.explain.own import SIDE
from raresight.explain.paths import FINE, fine_maps
from raresight.images.store import ImageStore
from raresight.represent.backbones import exported, lite0_trunk_onnx, open_graph

Array = NDArray[Any]

PLACES = 14
"""A side of lite0's maps after block `FINE`."""

BATCH = 32
"""Altered images scored at once."""


class PixelOcclusion(Method):
    """The score lost when a square of the image is blotted out by its own mean value, for any recipe.

    Each altered image takes the whole way from pixels to score: some 170 plain predictions an image.

    Source: Zeiler & Fergus, "Visualizing and understanding convolutional networks", ECCV 2014; MONAI's
    implementation.

    Parameters
    ----------
    window : int
        Side of the square, in pixels of an image of 224.
    overlap : float
        Share of a square's side that its neighbour covers too, 0 to below 1.
    """

    def __init__(self, window: int = 32, overlap: float = 0.5) -> None:
        if not 2 <= window <= SIDE or not 0 <= overlap < 1:
            raise OptionError(
                f"occlusion[window={window},overlap={overlap}] is out of range; choose a window of 2 to "
                f"{SIDE} and an overlap of 0 to below 1"
            )
        self.window, self.overlap = window, overlap

    @classmethod
    def suits(cls, fitted: FittedRecipe) -> bool:
        """Tell whether altered images can be scored: always, but for cases of several images and a table."""
        return fitted.recipe.representation.name != "cases"

    def heatmaps(self, store: ImageStore, rows: Rows) -> Heatmaps:
        """Explain rows: (n, side, side) float32, in units of the score."""
        window = max(2, round(self.window * self.side / SIDE))
        self.grid = max(1, round(self.side / (window * (1 - self.overlap))))
        scorer = _Scorer(self.fitted, store.pixels.dtype)
        altered = OcclusionSensitivity(
            scorer, window, BATCH, verbose=False, mode="mean_patch", overlap=self.overlap, activate=False
        )
        found = np.empty((len(rows), self.side, self.side), np.float32)
        for place, row in enumerate(rows):
            planes = torch.from_numpy(store.pixels[[row]].astype(np.float32)).permute(0, 3, 1, 2)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch warns of how MONAI indexes
                scores = np.asarray(altered(planes)[0])[0, 0].reshape(self.side, self.side)
            found[place] = float(scorer(planes)[0, 0]) - scores
        return found


class _Scorer(nn.Module):
    """Any recipe as MONAI wants a network: (n, c, side, side) stored values → (n, 1) scores."""

    def __init__(self, fitted: FittedRecipe, dtype: Any) -> None:
        super().__init__()
        self.fitted, self.dtype = fitted, dtype

    def forward(self, planes: Tensor) -> Tensor:
        images = planes.permute(0, 2, 3, 1).round().numpy().astype(self.dtype)
        return torch.from_numpy(score_seen(self.fitted, self.fitted.space.of(images)))[:, None]


def score_seen(fitted: FittedRecipe, X: Array) -> NDArray[np.float32]:
    """Score rows of a representation, (n,)."""
    seen = X if fitted.scaler is None else fitted.scaler.transform(X)
    return np.asarray(fitted.predict_seen(seen)[0], np.float32)


class MapOcclusion(Method):
    """The score lost when a window of lite0's 14 × 14 maps is made that of normal images, for any head.

    The rest of the network is run anew for each window, batched through ONNX Runtime, so that trees and other
    heads without a slope can be explained; one image is some ten plain predictions. Of a case of several
    images it is the first.

    Source: after Zeiler & Fergus, "Visualizing and understanding convolutional networks", ECCV 2014, in
    feature maps, where there is a notion of what is usual at a place.

    Parameters
    ----------
    window : int
        Places a side that are made normal together.
    stride : int
        Places from one window to the next.
    """

    def __init__(self, window: int = 2, stride: int = 2) -> None:
        if not 1 <= stride <= window <= PLACES:
            raise OptionError(
                f"map-occlusion[window={window},stride={stride}] is out of range; a window has 1 to 14 "
                "places and moves by 1 to as many"
            )
        self.window, self.stride = window, stride

    @classmethod
    def suits(cls, fitted: FittedRecipe) -> bool:
        """Tell whether the recipe sees lite0's pooled features."""
        name, space = fitted.recipe.representation.name, fitted.space
        return (name == "embedding" and space.backbone == "lite0") or (name == "cases" and bool(space.names_))

    def prepare(self, fitted: FittedRecipe, store: ImageStore) -> Self:
        """Take the mean maps of normal training images."""
        super().prepare(fitted, store)
        self.before, self.after = open_graph(lite0_trunk_onnx(FINE)), open_graph(_tail_onnx())
        rows = usual_rows(fitted, store)
        self.usual = np.mean([self._maps(store, rows[i : i + 1])[0] for i in range(len(rows))], axis=0)
        return self

    def heatmaps(self, store: ImageStore, rows: Rows) -> Heatmaps:
        """Explain rows: (n, side, side) float32, in units of the score."""
        X = np.asarray(self.fitted.space.transform(store, rows))
        plain = score_seen(self.fitted, X)
        maps = self._maps(store, rows)
        drops = [base - self._altered(row, each) for base, row, each in zip(plain, X, maps, strict=True)]
        return self.enlarge(np.stack([self._spread(drop) for drop in drops]))

    def _maps(self, store: ImageStore, rows: Rows) -> Array:
        pixels = store.pixels[rows]
        if self.fitted.recipe.representation.name == "cases" and store.modalities:
            pixels = store.modality(self.fitted.space.names_[0])[0][rows]
        return fine_maps(self.before, pixels).numpy()

    def _altered(self, row: Array, maps: Array) -> Array:
        """Score one image, whose features are `row`, with each window made normal: (windows,)."""
        altered = np.stack(list(self._normalised(maps)))
        features = np.concatenate(
            [
                self.after.run(None, {"pixels": altered[i : i + BATCH]})[0]
                for i in range(0, len(altered), BATCH)
            ]
        )
        X = np.repeat(row[None], len(features), axis=0)
        X[:, : features.shape[1]] = features
        return score_seen(self.fitted, X)

    def _normalised(self, maps: Array) -> Iterator[Array]:
        for window in self._windows():
            altered = maps.copy()
            altered[:, *window] = self.usual[:, *window]
            yield altered

    def _windows(self) -> Iterator[tuple[slice, slice]]:
        starts = [*range(0, PLACES - self.window, self.stride), PLACES - self.window]
        for top in starts:
            for left in starts:
                yield slice(top, top + self.window), slice(left, left + self.window)

    def _spread(self, drops: Array) -> Array:
        """Give each place the mean over the windows that cover it: (places, places)."""
        total, count = np.zeros((PLACES, PLACES)), np.zeros((PLACES, PLACES))
        for window, drop in zip(self._windows(), drops, strict=True):
            total[window] += drop
            count[window] += 1
        return np.nan_to_num(total / count)


def _tail_onnx() -> Any:
    """Give the path of the graph from lite0's 14 × 14 maps to its pooled features."""

    def make() -> nn.Module:
        from raresight.networks.lite0 import Lite0Tail

        return Lite0Tail(FINE)

    return exported(f"lite0-tail-{FINE}", make, (112, 14, 14))
