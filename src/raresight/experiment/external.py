"""Another labelled set that every fold's fitted recipe is scored on, and none is trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.errors import DataError, OptionError
from raresight.experiment.recipe import FittedRecipe
from raresight.images.cache import content_hash
from raresight.images.external import twins_across
from raresight.images.manifest import Manifest
from raresight.images.splits import Rows
from raresight.images.store import ImageStore, build_store
from raresight.progress import Progress, silent

BLOCK = 256
"""Images that are seen at once: no step holds a float copy of the set."""


@dataclass(frozen=True)
class External:
    """An external test set.

    Attributes
    ----------
    store : ImageStore
    groups : (len(store),) array
        Patient ∪ near-duplicate cluster; their names never meet those of the training set.
    rows : int64 array
        The rows that are scored: those without a twin in the set that recipes learn from.
    twins : int
        How many rows were left out for their twin.
    channels : int
    dtype : dtype
        Of the images that recipes learn from.
    """

    store: ImageStore
    groups: NDArray[Any]
    rows: Rows
    twins: int
    channels: int
    dtype: np.dtype[Any]

    def predict(self, fitted: FittedRecipe) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Score the rows, with the detector's own probabilities; see `FittedRecipe.predict`."""
        parts = [
            fitted.predict_seen(self._seen(fitted, self.rows[start : start + BLOCK]))
            for start in range(0, len(self.rows), BLOCK)
        ]
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    def _seen(self, fitted: FittedRecipe, rows: Rows) -> NDArray[Any]:
        """See images as the recipe sees those of its own set: in as many channels, of the same depth."""
        if fitted.recipe.representation.name in ("embedding", "cases"):
            return fitted.seen(self.store, rows)
        X: NDArray[Any] = fitted.space.of(_alike(self.store.pixels[rows], self.channels, self.dtype))
        return X if fitted.scaler is None else np.asarray(fitted.scaler.transform(X))

    def settings(self) -> dict[str, Any]:
        """Say what the set is, and what decides its predictions."""
        manifest = self.store.manifest
        y = manifest.y[self.rows]
        return {
            "name": manifest.name,
            "images": len(self.rows),
            "anomalies": int(y.sum()),
            "twins_removed": self.twins,
            "rejected": len(manifest.rejected),
            "normal": list(manifest.normal),
            "key": content_hash(
                self.store.key, manifest.labels.tolist(), manifest.normal, self.rows.tolist()
            ),
        }


def prepare_external(manifest: Manifest, own: ImageStore, progress: Progress = silent) -> External:
    """Decode an external set as the own one was, and leave out the images that also stand in that.

    Parameters
    ----------
    manifest : Manifest
        The external set.
    own : ImageStore
        The set that recipes learn from.
    progress : callable, optional

    Raises
    ------
    OptionError
        If the task is not binary.
    DataError
        If a class is missing, or nothing but twins is left of it.
    """
    if manifest.task != "binary":
        raise OptionError("--external takes a set of normal and anomalous images, not --task multiclass")
    store = build_store(manifest, own.preprocess, progress)
    twins, names = twins_across(own, store, progress)
    rows = np.flatnonzero(~twins)
    y = store.manifest.y
    for code, kind in ((0, "normal"), (1, "anomalous")):
        if code not in y:
            raise DataError(f"{manifest.name} has no {kind} image; name its classes with --external-normal")
        if code not in y[rows]:
            raise DataError(
                f"every {kind} image of {manifest.name} has a twin in {own.manifest.name}, "
                "so it is no external test set; choose another for --external"
            )
    groups = np.char.add("external:", names)
    return External(store, groups, rows, int(twins.sum()), own.pixels.shape[3], own.pixels.dtype)


def _alike(images: NDArray[Any], channels: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Give (n, s, s, c) images as many channels, and the depth, of another store."""
    if images.shape[3] > channels:
        images = images[..., 1:2]  # green is the luminance closest to all three, as in the store
    elif images.shape[3] < channels:
        images = np.repeat(images, channels, axis=3)
    if images.dtype == dtype:
        return images
    return (images >> 8).astype(dtype) if dtype == np.uint8 else images.astype(dtype) * dtype.type(257)
