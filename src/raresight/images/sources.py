"""How the rows of a manifest are read: from files, from an array, from a MedMNIST archive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.errors import DataError, ImageError
from raresight.images.masks import MaskFile, read_mask
from raresight.images.readers import DEFAULT_MAX_PIXELS, read_image
from raresight.images.readers.base import Pixels, check_size

_CHUNK = 1 << 20


class FileSource:
    """Image files, read one by one when they are asked for; safe to use from several threads.

    Parameters
    ----------
    paths : sequence of Path
        The file of each row; several rows may share one.
    frames : sequence of int
        Which frame, page or slice of it, counted from 0.
    axis : {0, 1, 2}, default 2
        The direction in which volumes are sliced.
    max_pixels : int, default 100_000_000
    masks : sequence of (Path, int), str or None, optional
        Each row's mask of its lesion: file and frame, or why it cannot be used; None where none is known.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        frames: Sequence[int],
        *,
        axis: int = 2,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        masks: Sequence[MaskFile | str | None] = (),
    ) -> None:
        if len(paths) != len(frames):
            raise ValueError(f"{len(paths)} paths and {len(frames)} frames")
        self.paths = list(paths)
        self.frames = list(frames)
        self.axis = axis
        self.max_pixels = max_pixels
        self.masks = list(masks)
        self._hashes: dict[Path, tuple[tuple[int, int], bytes]] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, row: int) -> Pixels:
        """Decode one row; raises `ImageError`."""
        return read_image(self.paths[row], self.frames[row], max_pixels=self.max_pixels, axis=self.axis)

    def digest(self, row: int) -> str:
        """Hash a file's bytes with the frame's number and axis, in hexadecimal; raises `ImageError`."""
        hashed = blake2b(self._file_hash(self.paths[row]), digest_size=16)
        hashed.update(f"frame {self.frames[row]} axis {self.axis}".encode())
        return hashed.hexdigest()

    def mask(self, row: int) -> NDArray[np.bool_] | None:
        """Decode one row's mask, (h, w) bool; None where none is known; raises `ImageError`."""
        found = self.masks[row] if self.masks else None
        if isinstance(found, str):
            raise ImageError(found)
        return None if found is None else read_mask(*found, max_pixels=self.max_pixels)

    def mask_digest(self, row: int) -> str:
        """Hash the file of one row's mask; empty where none is known."""
        found = self.masks[row] if self.masks else None
        if found is None:
            return ""
        return f"!{found}" if isinstance(found, str) else f"{self._file_hash(found[0]).hex()} {found[1]}"

    def _file_hash(self, path: Path) -> bytes:
        """Hash each file once, again only if it was changed."""
        try:
            status = path.stat()
            seen = (status.st_mtime_ns, status.st_size)
            with self._lock:
                known = self._hashes.get(path)
            if known is None or known[0] != seen:
                # Outside the lock, so that threads hash different files at once.
                known = (seen, _hash_file(path))
                with self._lock:
                    self._hashes[path] = known
        except (OSError, ValueError) as error:
            missing = isinstance(error, FileNotFoundError)
            raise ImageError("the file is missing" if missing else "the file cannot be read") from error
        return known[1]


class CaseSource:
    """Cases of several image files, each a modality that a case may lack.

    Parameters
    ----------
    images : mapping of str to sequence of (Path, int or None) or None
        Modality → for each row its file and which frame of it (None: the first); None where it is missing.
    axis, max_pixels
        See `FileSource`.
    """

    def __init__(
        self,
        images: Mapping[str, Sequence[tuple[Path, int | None] | None]],
        *,
        axis: int = 2,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> None:
        self.modalities = tuple(images)
        there = [(name, row) for name in images for row, place in enumerate(images[name]) if place]
        self._at = {key: number for number, key in enumerate(there)}
        self._rows = len(next(iter(images.values())))
        places = [place for name in images for place in images[name] if place]
        frames = [frame or 0 for _, frame in places]
        self._files = FileSource([path for path, _ in places], frames, axis=axis, max_pixels=max_pixels)

    def __len__(self) -> int:
        return self._rows

    def read(self, row: int) -> Pixels:
        """Decode the first image that can be read; raises `ImageError` with every reason if none can."""
        reasons = []
        for name in self.modalities:
            try:
                image = self.read_modality(row, name)
            except ImageError as error:
                reasons.append(f"{name}: {error}")
                continue
            if image is not None:
                return image
        raise ImageError("; ".join(reasons) or "the case has no image")

    def read_modality(self, row: int, name: str) -> Pixels | None:
        """Decode one of a case's images, None if it has none of that name; raises `ImageError`."""
        at = self._at.get((name, row))
        return None if at is None else self._files.read(at)

    def digest(self, row: int) -> str:
        """Hash the modalities' names and files, in hexadecimal; an unreadable file counts by its reason."""
        hashed = blake2b(digest_size=16)
        for name in self.modalities:
            at = self._at.get((name, row))
            try:
                content = "missing" if at is None else self._files.digest(at)
            except ImageError as error:
                content = f"!{error}"
            hashed.update(f"{name}\0{content}\0".encode())
        return hashed.hexdigest()


def _hash_file(path: Path) -> bytes:
    hashed = blake2b(digest_size=32)
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            hashed.update(chunk)
    return hashed.digest()


class ArraySource:
    """Images that are already pixels: one array, one row an image.

    Parameters
    ----------
    array : (n, h, w) or (n, h, w, 3) array of uint8 or uint16

    Raises
    ------
    DataError
        If the array has another shape or type; for NaN the message names the row.
    """

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = checked_images(array, "the array")

    def __len__(self) -> int:
        return len(self.array)

    def read(self, row: int) -> Pixels:
        """Give one row."""
        return np.array(self.array[row], dtype=self.array.dtype.newbyteorder("="))

    def digest(self, row: int) -> str:
        """Hash one row's values, shape and type, in hexadecimal."""
        image = np.ascontiguousarray(self.array[row])
        hashed = blake2b(f"{image.dtype.name} {image.shape}".encode(), digest_size=16)
        # Little-endian, so that any machine finds the same text.
        hashed.update(image.astype(image.dtype.newbyteorder("<"), copy=False).tobytes())
        return hashed.hexdigest()


class NpzSource:
    """The image arrays of a MedMNIST archive, each taken out when its first row is asked for.

    Parameters
    ----------
    path : Path
    members : sequence of (str, int)
        The arrays' names and how many images each has, in row order.
    max_pixels : int, default 100_000_000
    """

    def __init__(
        self, path: Path, members: Sequence[tuple[str, int]], *, max_pixels: int = DEFAULT_MAX_PIXELS
    ) -> None:
        self.path = path
        self.members = list(members)
        self.max_pixels = max_pixels
        self._starts = np.cumsum([0, *(count for _, count in members)])
        self._loaded: dict[str, ArraySource | ImageError] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def read(self, row: int) -> Pixels:
        """Give one row; raises `ImageError`."""
        array, at = self._locate(row)
        return array.read(at)

    def digest(self, row: int) -> str:
        """Hash one row's values, shape and type, in hexadecimal; raises `ImageError`."""
        array, at = self._locate(row)
        return array.digest(at)

    def _locate(self, row: int) -> tuple[ArraySource, int]:
        member = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self._array(self.members[member][0]), row - int(self._starts[member])

    def _array(self, name: str) -> ArraySource:
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = self._take_out(name)
            found = self._loaded[name]
        if isinstance(found, ImageError):
            raise ImageError(*found.args)
        return found

    def _take_out(self, name: str) -> ArraySource | ImageError:
        """Decompress one array; a failure is kept too, so that it is met once and not once a row."""
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                array = archive[name]
            check_size((array.shape[2], array.shape[1]), self.max_pixels)
            return ArraySource(array)
        except ImageError as error:
            return error
        except Exception:
            return ImageError(f"its array {name} is damaged or does not fit into memory")


def checked_images(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Refuse what is not (n, h, w[, 3]) uint8 or uint16, naming the row of the first NaN."""
    check_image_shape(array.shape, name)
    if array.dtype.kind == "f":
        for row, image in enumerate(array):
            if not np.isfinite(image).all():
                raise DataError(f"row {row} of {name} holds NaN or infinite values; remove or repair it")
    if array.dtype.kind != "u" or array.dtype.itemsize > 2:
        raise DataError(f"{name} holds {array.dtype} values; convert them to uint8 or uint16")
    return array


def check_image_shape(shape: tuple[int, ...], name: str) -> None:
    """Refuse any shape but (n, h, w) and (n, h, w, 3)."""
    if not (len(shape) == 3 or (len(shape) == 4 and shape[3] == 3)) or 0 in shape[1:]:
        raise DataError(
            f"{name} has shape {shape}; images must be (n, height, width) or (n, height, width, 3)"
        )
