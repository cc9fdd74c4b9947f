"""The image store: every image of a manifest decoded and resized once, in one memory-mapped array."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from raresight.errors import DataError, ImageError
from raresight.images.cache import cache_folder, content_hash, disk_errors, new_file, new_folder
from raresight.images.manifest import Manifest, Rejected
from raresight.images.masks import known_masks, mask_digests, stored_masks
from raresight.images.preprocess import Preprocess
from raresight.progress import Progress, silent

GREY_TOLERANCE = 2
"""Largest difference between channels (of 255) at which an image still counts as grey."""

STORE_VERSION = 1

REMEDY = "set RARESIGHT_CACHE to another folder"


@dataclass(frozen=True)
class ImageStore:
    """The pixels of a manifest.

    Attributes
    ----------
    manifest : Manifest
        One row an image that could be read; the others are in ``manifest.rejected``.
    folder : Path
        Where the array and what is derived from it are kept.
    key : str
        Hash of the images' content and of the settings.
    preprocess : Preprocess
    """

    manifest: Manifest
    folder: Path
    key: str
    preprocess: Preprocess

    def __len__(self) -> int:
        return len(self.manifest)

    @cached_property
    def pixels(self) -> NDArray[Any]:
        """(n, size, size, c) uint8 or uint16, memory-mapped; c is 1 when every image is grey, else 3."""
        pixels: NDArray[Any] = np.load(self.folder / "pixels.npy", mmap_mode="r")
        return pixels

    @cached_property
    def masks(self) -> NDArray[np.uint8]:
        """(n, size, size) uint8, 255 on a lesion, else 0, with the images' geometry; memory-mapped.

        Raises `DataError` where the set knows no lesion, or a mask cannot be used.
        """
        return stored_masks(self)

    @cached_property
    def has_mask(self) -> NDArray[np.bool_]:
        """(n,) whether `masks` tells what is ill: true of normal images, and where a lesion is marked."""
        return known_masks(self)

    def derived(self, name: str, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Give an array that is kept beside the pixels, making it on the first call.

        Parameters
        ----------
        name : str
            What it is, with everything that decides its content.
        make : callable
            Computes the (n, ...) array.

        Returns
        -------
        (n, ...) array, memory-mapped
        """
        path = self.folder / f"{name}.npy"
        if not path.exists():
            values = make()
            with disk_errors(self.folder, REMEDY), new_file(path) as scratch, scratch.open("wb") as stream:
                np.save(stream, values)
        kept: NDArray[Any] = np.load(path, mmap_mode="r")
        return kept

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("pixels", "masks", "has_mask")}


def build_store(
    manifest: Manifest,
    preprocess: Preprocess | None = None,
    progress: Progress = silent,
    threads: int | None = None,
) -> ImageStore:
    """Decode every image of a manifest once, or find the array that an earlier call made.

    An image that cannot be read never stops the set: it is dropped from the manifest and listed in its
    ``rejected``.

    Parameters
    ----------
    manifest : Manifest
    preprocess : Preprocess, optional
    progress : callable, optional
        See `raresight.progress`.
    threads : int, optional
        Decoding threads; by default two more than the machine has cores.

    Raises
    ------
    DataError
        If no image, or none of a class, can be read.
    RunError
        If the cache cannot be written or its disk is full.
    """
    preprocess = preprocess or Preprocess()
    threads = threads or (os.cpu_count() or 1) + 2
    with ThreadPoolExecutor(threads) as pool, progress("checking images", len(manifest)) as tick:
        digests = [_ticked(d, tick) for d in pool.map(lambda i: _digest(manifest, i), range(len(manifest)))]
    masks = mask_digests(manifest)
    key = content_hash("store", STORE_VERSION, preprocess.settings(), digests, *([masks] if masks else []))
    folder = cache_folder() / "stores" / key
    if not (folder / "store.json").exists():
        with new_folder(folder) as scratch:
            _fill(scratch, manifest, preprocess, progress, threads)
    facts = json.loads((folder / "store.json").read_text())
    reasons: dict[int, str] = {int(row): reason for row, reason in facts["rejected"].items()}
    kept = manifest.take([row for row in range(len(manifest)) if row not in reasons])
    files = manifest.files
    rejected = (*manifest.rejected, *(Rejected(files[row], reason) for row, reason in reasons.items()))
    kept = replace(kept, rejected=rejected)
    _check(kept, manifest)
    return ImageStore(kept, folder, key, preprocess)


def _ticked(value: str, tick: Callable[[int], None]) -> str:
    tick(1)
    return value


def _digest(manifest: Manifest, row: int) -> str:
    try:
        return manifest.digest(row)
    except ImageError as error:
        return f"!{error}"


def _check(kept: Manifest, manifest: Manifest) -> None:
    lost = [c for c in manifest.classes if c not in set(kept.table["label"])]
    if lost:
        first = kept.rejected[0]
        raise DataError(
            f"no image of class {lost[0]!r} in {manifest.name} can be read; the first one rejected: "
            f"{first.file}: {first.reason}"
        )


def _fill(folder: Path, manifest: Manifest, preprocess: Preprocess, progress: Progress, threads: int) -> None:
    rejected: dict[int, str] = {}
    pixels = _PixelFile(folder / "pixels.npy", preprocess.size)
    with pixels, progress("decoding images", len(manifest)) as tick:
        for row, image in enumerate(_decoded(manifest, preprocess, threads)):
            if isinstance(image, ImageError):
                rejected[row] = str(image)
            else:
                pixels.append(image)
            tick(1)
    facts = {"rejected": rejected, "preprocess": preprocess.settings(), "images": pixels.count}
    (folder / "store.json").write_text(json.dumps(facts, indent=1))


def _decoded(manifest: Manifest, preprocess: Preprocess, threads: int) -> Iterator[NDArray[Any] | ImageError]:
    """Decode in parallel, give in order, and hold only a few images at a time."""

    def one(row: int) -> NDArray[Any] | ImageError:
        try:
            return preprocess(manifest.read(row))
        except ImageError as error:
            return error

    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[NDArray[Any] | ImageError]] = deque()
        for row in range(len(manifest)):
            waiting.append(pool.submit(one, row))
            if len(waiting) >= 4 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


class _PixelFile:
    """A ``.npy`` file written image by image: grey and 8-bit until an image needs more.

    It is written as a plain stream: on a full disk a write fails with an error, where a memory map would
    kill the process.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.path, self.size = path, size
        self.count, self.channels, self.dtype = 0, 1, np.dtype(np.uint8)

    def __enter__(self) -> _PixelFile:
        self._stream: BinaryIO = self.path.open("w+b")
        self._write_header()
        return self

    def __exit__(self, *failure: object) -> None:
        if failure[0] is None:
            self._write_header()
        self._stream.close()

    def append(self, image: NDArray[Any]) -> None:
        channels = 1 if _is_grey(image) else 3
        dtype = np.promote_types(self.dtype, image.dtype)
        if channels > self.channels or dtype != self.dtype:
            self._widen(max(channels, self.channels), dtype)
        self._stream.write(_shaped(image, self.channels, self.dtype).tobytes())
        self.count += 1

    def _write_header(self) -> None:
        """Write a header of fixed length, so that the final count can replace the first."""
        self._stream.seek(0)
        shape = (self.count, self.size, self.size, self.channels)
        text = repr({"descr": self.dtype.str, "fortran_order": False, "shape": shape})
        self._stream.write(
            b"\x93NUMPY\x01\x00" + (246).to_bytes(2, "little") + text.ljust(245).encode() + b"\n"
        )
        self._stream.seek(0, os.SEEK_END)

    def _widen(self, channels: int, dtype: np.dtype[Any]) -> None:
        wider = _PixelFile(self.path.with_suffix(".wider"), self.size)
        wider.channels, wider.dtype = channels, dtype
        self._stream.flush()
        block = self.size * self.size * self.channels * self.dtype.itemsize
        with wider, self.path.open("rb") as old:
            old.seek(256)
            for _ in range(self.count):
                image = np.frombuffer(old.read(block), self.dtype)
                image = image.reshape(self.size, self.size, self.channels)
                wider._stream.write(_shaped(image, channels, dtype).tobytes())
            wider.count = self.count
        self._stream.close()
        wider.path.replace(self.path)
        self._stream = self.path.open("r+b")
        self._stream.seek(0, os.SEEK_END)
        self.channels, self.dtype = channels, dtype


def _is_grey(image: NDArray[Any]) -> bool:
    if image.ndim == 2 or image.shape[2] == 1:
        return True
    tolerance = GREY_TOLERANCE * (257 if image.dtype == np.uint16 else 1)
    return bool(np.ptp(image.astype(np.int32), axis=2).max() <= tolerance)


def _shaped(image: NDArray[Any], channels: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    if image.ndim == 2:
        image = image[..., None]
    if image.shape[2] < channels:
        image = np.repeat(image, channels, axis=2)
    elif image.shape[2] > channels:
        image = image[..., 1:2]  # grey within tolerance: green is the luminance closest to all three
    if image.dtype != dtype:
        image = image.astype(dtype) * 257
    return image
