"""The image store: every image of a manifest decoded and resized once, in one memory-mapped array."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from raresight.errors import DataError, ImageError
from raresight.images.cache import cache_folder, content_hash, disk_errors, new_file, new_folder, open_array
from raresight.images.labels import MODALITY_PREFIX
from raresight.images.manifest import WITHOUT_IT, Manifest, Rejected
from raresight.images.masks import known_masks, mask_digests, stored_masks
from raresight.images.preprocess import Preprocess
from raresight.images.stored import as_stored, is_grey
from raresight.progress import Progress, silent

STORE_VERSION = 1

REMEDY = "set RARESIGHT_CACHE to another folder"

Decoded = NDArray[Any] | ImageError | None


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
    modalities : tuple of str
        The names of the images that a case may have; none where a case is one image.
    """

    manifest: Manifest
    folder: Path
    key: str
    preprocess: Preprocess
    modalities: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.manifest)

    @cached_property
    def pixels(self) -> NDArray[Any]:
        """(n, size, size, c) uint8 or uint16, memory-mapped; c is 1 when every image is grey, else 3.

        Of a case of several images it is the first there is.
        """
        return open_array(self.folder / "pixels.npy")

    def modality(self, name: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Give one of a case's several images.

        Parameters
        ----------
        name : str
            One of `modalities`.

        Returns
        -------
        pixels : (n, size, size, c) uint8 or uint16 array, memory-mapped
            Black where the image is missing.
        present : (n,) bool array
        """
        place = self.modalities.index(name)
        pixels = open_array(self.folder / f"modality-{place}.npy")
        return pixels, np.load(self.folder / "present.npy")[:, place]

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
        return open_array(path)

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
    lost = (Rejected(_file_of(manifest, row, name), reason) for row, name, reason in facts.get("lost", ()))
    kept = replace(kept, rejected=(*rejected, *lost))
    _check(kept, manifest)
    return ImageStore(kept, folder, key, preprocess, manifest.modalities)


def _file_of(manifest: Manifest, row: int, modality: str) -> str:
    """Name the file of one of a case's images."""
    column = modality if modality == "file" else f"{MODALITY_PREFIX}{modality}"
    return str(manifest.table[column].iloc[row])


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
    lost: list[tuple[int, str, str]] = []
    present: list[list[bool]] = []
    names, size = manifest.modalities, preprocess.size
    with ExitStack() as open_files, progress("decoding images", len(manifest)) as tick:
        pixels = open_files.enter_context(_PixelFile(folder / "pixels.npy", size))
        parts = [
            open_files.enter_context(_PixelFile(folder / f"modality-{place}.npy", size))
            for place in range(len(names))
        ]
        for row, images in enumerate(_decoded(manifest, preprocess, threads)):
            tick(1)
            readable = [image for image in images if isinstance(image, np.ndarray)]
            if not readable:
                rejected[row] = _reasons(names, images)
                continue
            pixels.append(readable[0])
            for part, image in zip(parts, images, strict=False):
                part.append(image if isinstance(image, np.ndarray) else np.zeros((size, size), np.uint8))
            present.append([isinstance(image, np.ndarray) for image in images])
            broken = [(name, image) for name, image in zip(names, images, strict=False) if _broken(image)]
            lost += [(row, name, f"{error}{WITHOUT_IT}") for name, error in broken]
    facts: dict[str, Any] = {
        "rejected": rejected,
        "preprocess": preprocess.settings(),
        "images": pixels.count,
    }
    if names:
        np.save(folder / "present.npy", np.array(present, bool).reshape(-1, len(names)))
        facts |= {"modalities": names, "lost": lost}
    (folder / "store.json").write_text(json.dumps(facts, indent=1))


def _broken(image: Decoded) -> bool:
    return isinstance(image, ImageError)


def _reasons(names: Sequence[str], images: Sequence[Decoded]) -> str:
    """Say why nothing of a case can be read."""
    if not names:
        return str(images[0])
    told = [f"{name}: {image}" for name, image in zip(names, images, strict=True) if _broken(image)]
    return "; ".join(told) or "the case has no image"


def _decoded(manifest: Manifest, preprocess: Preprocess, threads: int) -> Iterator[list[Decoded]]:
    """Decode in parallel, give in order, and hold only a few images at a time.

    Yields
    ------
    list
        A row's image or, by modality, images: each decoded, an `ImageError`, or None where it is missing.
    """

    def attempt(row: int, name: str | None) -> Decoded:
        try:
            image = manifest.read(row) if name is None else manifest.read_modality(row, name)
            return None if image is None else preprocess(image)
        except ImageError as error:
            return error

    def one(row: int) -> list[Decoded]:
        return [attempt(row, name) for name in manifest.modalities or (None,)]

    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[list[Decoded]]] = deque()
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
        channels = 1 if is_grey(image) else 3
        dtype = np.promote_types(self.dtype, image.dtype)
        if channels > self.channels or dtype != self.dtype:
            self._widen(max(channels, self.channels), dtype)
        self._stream.write(as_stored(image, self.channels, self.dtype).tobytes())
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
                wider._stream.write(as_stored(image, channels, dtype).tobytes())
            wider.count = self.count
        self._stream.close()
        wider.path.replace(self.path)
        self._stream = self.path.open("r+b")
        self._stream.seek(0, os.SEEK_END)
        self.channels, self.dtype = channels, dtype
