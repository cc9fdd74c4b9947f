"""MedMNIST archives (Yang et al. 2023, Scientific Data 10:41): images and labels in one ``.npz``."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raresight.errors import DataError, ImageError
from raresight.images.readers.base import check_size
from raresight.images.sources import NpzSource, check_image_shape, checked_images

SPLITS = ("train", "val", "test")


def load_medmnist(path: Path, max_pixels: int) -> tuple[pd.DataFrame, NpzSource]:
    """List the images of an archive from its headers; only labels are read.

    Parameters
    ----------
    path : Path
        Holds ``train_images`` (n, h, w) or (n, h, w, 3), ``train_labels`` (n, 1), and the same for
        ``val`` and ``test`` where it has them.
    max_pixels : int
        The most pixels that one image may have.

    Returns
    -------
    table : pandas.DataFrame
        Columns ``file`` (``train/17``), ``label`` and ``split``.
    source : NpzSource

    Raises
    ------
    DataError
        If the archive is damaged, or holds volumes, several labels an image, or other values than uint8
        and uint16.
    """
    shapes = _shapes(path)
    splits = [split for split in SPLITS if f"{split}_images" in shapes]
    if not splits:
        raise DataError(
            f"{path} has no array train_images, as MedMNIST has; it has: {', '.join(shapes) or 'none'}"
        )
    rows: list[tuple[str, str, str]] = []
    members: list[tuple[str, int]] = []
    for split in splits:
        count = _check_images(path, f"{split}_images", *shapes[f"{split}_images"], max_pixels)
        labels = _labels(path, f"{split}_labels", shapes, count)
        rows += [(f"{split}/{row}", label, split) for row, label in enumerate(labels)]
        members.append((f"{split}_images", count))
    table = pd.DataFrame(rows, columns=["file", "label", "split"])
    return table, NpzSource(path, members, max_pixels=max_pixels)


def _shapes(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Read the shape and type of every array from its header."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            found = {}
            for name in names:
                with archive.open(name) as stream:
                    found[name.removesuffix(".npy")] = _npy_header(stream)
            return found
    except Exception as error:
        raise DataError(f"{path} is damaged or no NumPy archive ({type(error).__name__})") from error


def _npy_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    return shape, dtype


def _check_images(
    path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], max_pixels: int
) -> int:
    where = f"{path}: {name}"
    check_image_shape(shape, where)
    try:
        check_size((shape[2], shape[1]), max_pixels)
    except ImageError as error:
        raise DataError(f"{where}: {error}") from error
    if dtype not in (np.uint8, np.uint16):
        checked_images(_array(path, name), where)  # read it after all, to name the row of a NaN
    return shape[0]


def _labels(
    path: Path, name: str, shapes: dict[str, tuple[tuple[int, ...], np.dtype[Any]]], count: int
) -> list[str]:
    if name not in shapes:
        raise DataError(f"{path} has no array {name}; it has: {', '.join(shapes)}")
    shape = shapes[name][0]
    if shape not in ((count,), (count, 1)):
        several = f"{shape[1]} labels an image; only sets with one are read" if shape[:1] == (count,) else ""
        raise DataError(f"{path}: {name} has shape {shape}: {several or f'{count} labels are expected'}")
    labels = _array(path, name).ravel()
    if labels.dtype.kind == "f":
        odd = np.flatnonzero(~np.isfinite(labels) | (labels != np.round(labels)))
        if odd.size:
            raise DataError(f"{path}: {name} holds {labels[odd[0]]} in row {odd[0]}, which is no label")
        labels = labels.astype(np.int64)
    return [str(label) for label in labels.tolist()]


def _array(path: Path, name: str) -> NDArray[Any]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            found: NDArray[Any] = archive[name]
            return found
    except Exception as error:
        raise DataError(
            f"{path}: {name} is damaged, pickled or too large ({type(error).__name__})"
        ) from error
