"""The probes of pixels: each makes a few features of something that holds no pathology.

A model that learns from them alone can only learn how the images were made. Border geometry as a shortcut
of fundus and radiograph sets: Zech et al., PLoS Medicine 15 (2018); DeGrave, Janizek & Lee, Nature Machine
Intelligence 3 (2021).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from raresight.audit import PROBES
from raresight.audit.view import Floats, View
from raresight.images.cache import content_hash
from raresight.images.store import ImageStore
from raresight.progress import Progress, silent

VERSION = 3
"""Raise it with every change of a feature: they are kept beside the pixels."""

_PROFILE, _CELLS, _BINS = 32, 8, 32
_SMALL = 0.01
"""Largest share of the image that a letter or mark covers."""

_STARK = 0.3
"""How much brighter than the background a letter is, of the full range."""


def border(view: View) -> Floats:
    """Row and column means of the border's mask, averaged to 32 each."""
    mask = view.border.astype(np.float32)
    return np.concatenate([_averaged(mask.mean(axis=1), _PROFILE), _averaged(mask.mean(axis=0), _PROFILE)])


def background(view: View) -> Floats:
    """Histogram, and means of 8 × 8 cells, of what lies outside the anatomy.

    A cell without background takes the mean of all background, so that the anatomy's outline, which the
    border probe is about, says as little as possible.
    """
    outside = view.outside
    count = _cells(outside.astype(np.float32))
    values = view.grey[outside]
    overall = float(values.mean()) if values.size else 0.0
    total = _cells(np.where(outside, view.grey, 0))
    means = np.where(count > 0, total / np.maximum(count, 1e-6), overall)
    counts = np.histogram(np.sqrt(values), _BINS, (0, 1))[0] / max(1, values.size)
    return np.concatenate([counts.astype(np.float32), means.ravel().astype(np.float32)])


def histogram(view: View) -> Floats:
    """Share of pixels at each of 32 levels, of grey or of each colour."""
    channels = np.moveaxis(view.pixels, 2, 0)
    counts = [np.histogram(channel, _BINS, (0, 1))[0] for channel in channels]
    return (np.concatenate(counts) / view.grey.size).astype(np.float32)


def blur(view: View) -> Floats:
    """Means of 8 × 8 cells, of grey or of each colour."""
    return np.concatenate([_cells(channel).ravel() for channel in np.moveaxis(view.pixels, 2, 0)])


def corners(view: View) -> Floats:
    """Mean, deviation and a 3 × 3 thumbnail of each corner, an eighth of the side wide."""
    height, width = (max(3, side // 8) for side in view.grey.shape)
    found = []
    for rows in (slice(0, height), slice(-height, None)):
        for columns in (slice(0, width), slice(-width, None)):
            corner = view.grey[rows, columns]
            found.append([corner.mean(), corner.std(), *_cells(corner, 3).ravel()])
    return np.concatenate(found).astype(np.float32)


def text(view: View) -> Floats:
    """Small stark marks outside the anatomy: how many, how large, how bright, and where in 3 × 3 fields."""
    values = view.grey[view.outside]
    level = float(np.median(values)) if values.size else 0.0
    marks, count = ndimage.label(view.outside & (np.abs(view.grey - level) > _STARK))
    sizes = np.bincount(marks.ravel(), minlength=count + 1)[1:]
    small = np.flatnonzero((sizes >= 3) & (sizes <= _SMALL * view.grey.size)) + 1
    mask = np.isin(marks, small)
    brightness = float(view.grey[mask].mean()) if mask.any() else 0.0
    where = _cells(mask.astype(np.float32), 3).ravel()
    return np.array([len(small), mask.mean(), brightness, *where], np.float32)


def pixel_features(store: ImageStore, progress: Progress = silent) -> dict[str, NDArray[np.float32]]:
    """Give every pixel probe's features, computed once for a store.

    Returns
    -------
    dict of str to (n, …) float32 array
        Probe → features.
    """
    probes: dict[str, Callable[[View], Floats]] = {
        name: entry.load() for name, entry in PROBES.items() if name != "files"
    }
    preset = store.preprocess.preset
    first = View(store.pixels[0], preset)
    ends = np.cumsum([len(probe(first)) for probe in probes.values()])

    def look(row: int) -> Floats:
        view = View(store.pixels[row], preset)
        return np.concatenate([probe(view) for probe in probes.values()])

    def make() -> NDArray[np.float32]:
        found = np.empty((len(store), ends[-1]), np.float32)
        workers = os.cpu_count() or 1
        with ThreadPoolExecutor(workers) as pool, progress("looking for shortcuts", len(store)) as tick:
            for row, features in enumerate(pool.map(look, range(len(store)))):
                found[row] = features
                tick(1)
        return found

    names = {name: PROBES[name].target for name in probes}
    whole = store.derived(f"probes-v{VERSION}-{content_hash(names)[:8]}", make)
    return dict(zip(probes, np.split(whole, ends[:-1], axis=1), strict=True))


def _averaged(values: Floats, count: int) -> Floats:
    """Average a profile of any length to `count` values."""
    edges = np.linspace(0, len(values), count + 1)
    total = np.interp(edges, np.arange(len(values) + 1), np.concatenate([[0.0], np.cumsum(values)]))
    return np.asarray(np.diff(total) / np.diff(edges), np.float32)


def _cells(values: Floats, count: int = _CELLS) -> Floats:
    """Average an image to `count` × `count` cells."""
    edges = [np.linspace(0, side, count + 1).round().astype(int) for side in values.shape]
    sums = np.add.reduceat(np.add.reduceat(values, edges[0][:-1], axis=0), edges[1][:-1], axis=1)
    return np.asarray(sums / np.outer(np.diff(edges[0]), np.diff(edges[1])), np.float32)
