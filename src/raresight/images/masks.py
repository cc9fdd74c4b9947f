"""Masks: which pixels of an image show its lesion.

A mask that contradicts its image - another size, more than two values, a lesion marked in an image labelled
normal - stops whoever learns from masks with one error that counts them and names the first; detectors that
don't learn from masks never look at them. Guessing which of the two is wrong would teach the wrong pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from raresight.errors import DataError, ImageError
from raresight.images.readers import DEFAULT_MAX_PIXELS, format_of, read_image

if TYPE_CHECKING:
    from raresight.images.manifest import Manifest
    from raresight.images.store import ImageStore

MaskFile = tuple[Path, int]
"""A file, and the frame or page in it."""

MASK_COLUMN = "mask"

FORMATS = ("png", "bmp", "tiff")
"""Those whose values are read as they are stored; others are windowed or lossy."""

BLOCK = 256


def read_mask(path: Path, frame: int = 0, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> NDArray[np.bool_]:
    """Decode a mask.

    Returns
    -------
    (h, w) bool array
        True on the lesion.

    Raises
    ------
    ImageError
        If it cannot be read, is of a format whose values may change, or has values beside 0 and one other.
    """
    kind = format_of(path)
    if kind not in FORMATS:
        raise ImageError(f"it is a {kind.upper()} file, and masks are read from {', '.join(FORMATS)}")
    image = read_image(path, frame, max_pixels=max_pixels)
    plane = image if image.ndim == 2 else image.max(axis=2)
    values = np.unique(plane)
    if len(values) > 2 or (len(values) == 2 and values[0] != 0):
        raise ImageError(f"it has {len(values)} values, and a mask has 0 and one other")
    marked: NDArray[np.bool_] = plane > 0
    return marked


def mask_digests(manifest: Manifest) -> list[str]:
    """Hash each row's mask; empty where no row has one of its own."""
    found = [_digest(manifest, row) for row in range(len(manifest))]
    return found if any(found) else []


def _digest(manifest: Manifest, row: int) -> str:
    try:
        return manifest.mask_digest(row)
    except ImageError as error:
        return f"!{error}"


def stored_masks(store: ImageStore) -> NDArray[np.uint8]:
    """Give the masks of a store, made on the first call.

    Returns
    -------
    (n, size, size) uint8 array, memory-mapped
        255 on a lesion, else 0; all 0 where none is known.

    Raises
    ------
    DataError
        If no image has a mask, a mask cannot be used, or a normal image's mask marks a lesion.
    """
    masks = store.derived("masks", lambda: _made(store))
    manifest = store.manifest
    odd = np.flatnonzero(_marked(store) & np.isin(manifest.labels, manifest.normal))
    if len(odd):
        raise DataError(
            f"{len(odd)} image(s) of {manifest.name} labelled normal have a lesion marked in their mask, "
            f"the first: {manifest.files[odd[0]]}; correct the label, or empty the cell in the column "
            f"{MASK_COLUMN}"
        )
    return masks


def known_masks(store: ImageStore) -> NDArray[np.bool_]:
    """Tell where it is known what is ill: (n,), true of normal rows and of those with a lesion marked.

    Raises
    ------
    DataError
        As `stored_masks`.
    """
    stored_masks(store)
    return _marked(store) | np.isin(store.manifest.labels, store.manifest.normal)


def reduced_masks(store: ImageStore, side: int) -> NDArray[np.uint8]:
    """Give the masks at a smaller side that divides the store's, memory-mapped.

    Returns
    -------
    (n, side, side) uint8 array
        255 where at least half of a square of pixels is marked, else 0; a lesion too small for that keeps the
        squares that it covers most.

    Raises
    ------
    DataError
        As `stored_masks`.
    """
    masks = stored_masks(store)
    if masks.shape[1] == side:
        return masks
    return store.derived(f"masks-{side}", lambda: _in_blocks(masks, lambda block: shrink_masks(block, side)))


def shrink_masks(masks: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Reduce (n, s, s) masks to (n, side, side), as `reduced_masks` says."""
    by = masks.shape[1] // side
    cells = (masks > 0).reshape(len(masks), side, by, side, by).sum(axis=(2, 4))
    enough = np.clip(cells.max(axis=(1, 2)), 1, (by * by + 1) // 2)
    return np.where(cells >= enough[:, None, None], 255, 0).astype(np.uint8)


def _marked(store: ImageStore) -> NDArray[np.bool_]:
    """Tell which rows have a lesion marked, once `masks` are made."""
    masks = store.derived("masks", lambda: _made(store))
    return store.derived("marked", lambda: _in_blocks(masks, lambda block: np.any(block > 0, axis=(1, 2))))


def _in_blocks(masks: NDArray[Any], change: Callable[[NDArray[Any]], Any]) -> NDArray[Any]:
    return np.concatenate([change(masks[start : start + BLOCK]) for start in range(0, len(masks), BLOCK)])


def _made(store: ImageStore) -> NDArray[np.uint8]:
    manifest, size = store.manifest, store.preprocess.size
    masks = np.zeros((len(manifest), size, size), np.uint8)
    faults: list[str] = []
    found = 0
    for row, file in enumerate(manifest.files):
        try:
            mask = manifest.mask(row)
            if mask is None:
                continue
            found += 1
            if mask.any():
                masks[row] = _fitted(store, row, mask)
        except ImageError as error:
            faults.append(f"{file}: {error}")
    if faults:
        raise DataError(
            f"{len(faults)} mask(s) of {manifest.name} cannot be used, the first being that of {faults[0]}; "
            f"repair them, or empty their cells in the column {MASK_COLUMN}"
        )
    if not found:
        raise DataError(
            f"{manifest.name} has no masks; name each anomalous image's in a column {MASK_COLUMN} of its "
            "manifest, or choose a detector that learns without"
        )
    return masks


def _fitted(store: ImageStore, row: int, mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    image = store.manifest.read(row)
    if mask.shape != image.shape[:2]:
        raise ImageError(
            f"the mask is {mask.shape[1]} × {mask.shape[0]} pixels, "
            f"the image {image.shape[1]} × {image.shape[0]}"
        )
    return store.preprocess.mask(mask, image)
