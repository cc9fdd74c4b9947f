"""Which pairs of images are worth comparing closely: each image's nearest in coarse structure."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from raresight.images.likeness import TURNS, blurred, resampled, shrunk, structure, turned
from raresight.progress import Progress, silent

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]

COARSE = 16
"""Side of the thumbnails that are compared with all others."""

SCALES = (1.0, 0.92, 0.84)
"""Shares of an image's sides that another may have been cut to."""

FAINT = (0.03, 0.3)
"""Floor of `structure`: discs of one camera share their outline, and are told apart by what is within."""

LOOSE = 0.8
"""Smoothing of the thumbnails, in pixels, so that a border cut unevenly does not put them out of step."""

NEAREST = 10
LEAST = 0.4
BLOCK = 512


@dataclass(frozen=True, slots=True)
class Candidates:
    """Pairs to compare.

    Attributes
    ----------
    first, second : (m,) int64 arrays
        Rows; the inner `scale` of the first's canvas, turned, looks like the second's.
    frame : (m,) int64 array
        Which canvas, as in `likeness.FRAMES`.
    turn : (m,) int64 array
        As in `likeness.turned`.
    scale : (m,) float64 array
        Of `SCALES`.
    """

    first: Rows
    second: Rows
    frame: Rows
    turn: Rows
    scale: NDArray[np.float64]


def find_candidates(pictures: NDArray[np.uint8], progress: Progress = silent) -> Candidates:
    """Find each row's `NEAREST` rows of coarse structure, in each frame, over all turns and crops.

    Parameters
    ----------
    pictures : (frames, n, side, side) uint8 array
        The canvases.
    progress : callable, optional

    Returns
    -------
    Candidates
    """
    n = pictures.shape[1]
    blocks = [slice(start, min(start + BLOCK, n)) for start in range(0, n, BLOCK)]
    found = []
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        progress("searching for twins", len(pictures) * n) as tick,
    ):
        for frame, canvas in enumerate(pictures):
            views = [_thumbnails(canvas, scale) for scale in SCALES]
            parts = []
            for block, rows in zip(blocks, pool.map(partial(_nearest, views), blocks), strict=True):
                parts.append(rows)
                tick(block.stop - block.start)
            rows = _once(np.concatenate(parts))
            found.append(np.column_stack([rows, np.full(len(rows), frame)]))
    every = np.concatenate(found)
    first, second, turn, view, frames = every[:, [0, 1, 2, 3, 5]].astype(np.int64).T
    return Candidates(first, second, frames, turn, np.array(SCALES)[view])


def _once(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keep one candidate a pair, whichever of the two was found nearer to the other."""
    rows = rows[np.argsort(-rows[:, 4], kind="stable")]
    _, kept = np.unique(np.sort(rows[:, :2], axis=1), axis=0, return_index=True)
    return rows[np.sort(kept)]


def _thumbnails(canvas: NDArray[np.uint8], scale: float) -> Floats:
    """(n, COARSE, COARSE) structures of length 1, of the canvases' inner part."""
    found = np.empty((len(canvas), COARSE, COARSE), np.float32)
    for start in range(0, len(canvas), BLOCK):
        part = shrunk(canvas[start : start + BLOCK], 2)
        seen, _ = resampled(part, np.full((len(part), 2), scale), np.zeros((len(part), 2)), part.shape[1])
        small = shrunk(seen, seen.shape[1] // COARSE)
        found[start : start + BLOCK] = blurred(structure(small, FAINT), LOOSE)
    found -= found.mean(axis=(1, 2), keepdims=True)
    found /= np.maximum(np.linalg.norm(found, axis=(1, 2), keepdims=True), 1e-6)
    return found


def _nearest(views: list[Floats], rows: slice) -> NDArray[np.float64]:
    """(m, 5): row, other row, turn, view, how alike."""
    base = views[0].reshape(len(views[0]), -1)
    best = np.full((rows.stop - rows.start, len(base)), -1, np.float32)
    code = np.zeros(best.shape, np.uint8)
    for view, thumbnails in enumerate(views):
        for turn in range(TURNS):
            likeness = turned(thumbnails[rows], turn).reshape(len(best), -1) @ base.T
            np.putmask(code, likeness > best, view * TURNS + turn)
            np.maximum(best, likeness, out=best)
    best[np.arange(len(best)), np.arange(rows.start, rows.stop)] = -1
    count = min(NEAREST, len(base) - 1)
    near = np.argpartition(-best, count - 1, axis=1)[:, :count] if count else np.empty((len(best), 0), int)
    row, place = np.nonzero(np.take_along_axis(best, near, axis=1) >= LEAST)
    other = near[row, place]
    chosen = code[row, other].astype(np.int64)
    return np.column_stack([row + rows.start, other, chosen % TURNS, chosen // TURNS, best[row, other]])
