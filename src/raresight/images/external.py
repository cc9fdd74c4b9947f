"""A second set beside the first: its normal classes, and the images that stand in both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raresight.errors import DataError
from raresight.images.load import load
from raresight.images.manifest import Image, ImageSource, Manifest
from raresight.images.store import ImageStore
from raresight.progress import Progress, silent


def load_external(
    data: str | Path, like: Manifest, *, normal: Sequence[str] = (), **options: Any
) -> Manifest:
    """Find the images and labels of an external test set.

    Parameters
    ----------
    data : str or Path
        As for `load`.
    like : Manifest
        The set that recipes learn from: its normal classes are taken where `data` has all of them.
    normal : sequence of str, optional
        The normal classes of `data`, where they are called otherwise. With neither, recognised names are
        taken, as `load` does.
    **options
        For `load`.

    Raises
    ------
    DataError
        If it cannot be told which classes are normal, or there is nothing to load.
    """
    if normal:
        return load(data, normal=normal, **options)
    classes = load(data, task="multiclass", **options).classes
    if set(like.normal) < set(classes):
        return load(data, normal=like.normal, **options)
    try:
        return load(data, **options)
    except DataError as error:
        raise DataError(str(error).replace("with --normal", "with --external-normal")) from error


class JoinedSource:
    """The rows of one source, then those of another.

    Parameters
    ----------
    first, second : Manifest
    """

    def __init__(self, first: Manifest, second: Manifest) -> None:
        self.first, self.second = first, second

    def read(self, row: int) -> Image:
        """Decode one row; raises `ImageError`."""
        own = len(self.first)
        return self.first.read(row) if row < own else self.second.read(row - own)

    def digest(self, row: int) -> str:
        """Hash the content of one row."""
        own = len(self.first)
        return self.first.digest(row) if row < own else self.second.digest(row - own)


def join(first: Manifest, second: Manifest) -> Manifest:
    """Put two sets together, to look at and not to learn from: files are called ``0/…`` and ``1/…``."""
    files = [f"{part}/{file}" for part, found in enumerate((first, second)) for file in found.files]
    labels = np.concatenate([first.labels, second.labels])
    table = pd.DataFrame({"file": files, "label": labels})
    source: ImageSource = JoinedSource(first, second)
    return Manifest(table, source, f"{first.name} and {second.name}")


def twins_across(
    own: ImageStore, other: ImageStore, progress: Progress = silent
) -> tuple[NDArray[np.bool_], NDArray[np.str_]]:
    """Find the images of another set that also stand in one's own, and the other's groups.

    Parameters
    ----------
    own, other : ImageStore
        What models see; twins are sought among the images as they are.
    progress : callable, optional

    Returns
    -------
    twins : (len(other),) bool array
        Whether the image has an exact or near duplicate among one's own.
    groups : (len(other),) str array
        Patient ∪ near-duplicate cluster, within the other set.
    """
    from raresight.images.grouping import twins_as_they_are
    from raresight.images.twins import twin_groups

    cluster = twins_as_they_are(join(own.manifest, other.manifest), progress=progress).cluster
    mine, theirs = cluster[: len(own)], cluster[len(own) :]
    return np.isin(theirs, mine), twin_groups(other.manifest.groups(), theirs)
