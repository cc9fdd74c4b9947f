"""The images found in a set, while it is being loaded."""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raresight.errors import ImageError
from raresight.images.labels import LabelTable
from raresight.images.manifest import WITHOUT_IT, Rejected
from raresight.images.readers import READERS, count_frames, format_of
from raresight.images.readers.base import suffix_of

FILE_OF_FRAME = "\0file of frame"
"""The column that `Listing.count_frames` adds: the file that each frame lies in."""

Place = tuple[Path, int | None]
"""A file, and which frame of it where the set names one."""

_SINGLE = ("png", "jpeg", "bmp")
"""Formats that hold one image a file, so that the file need not be opened to know."""


@dataclass
class Listing:
    """Images found so far: what becomes the table, and where each row's pixels are.

    Attributes
    ----------
    columns : dict of str to list
        ``file``, ``label`` and any others, an entry a row.
    paths : list of Path
    frames : list of int or None
        Which frame of the file a row is; None where the file is the image.
    rejected : list of Rejected
    modalities : dict of str to list
        For cases of several images, where each modality's image of each row is; None where it is missing.
    """

    columns: dict[str, list[Any]]
    paths: list[Path] = field(default_factory=list)
    frames: list[int | None] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    modalities: dict[str, list[Place | None]] = field(default_factory=dict)

    def add(
        self,
        path: Path,
        frame: int | None,
        values: Mapping[str, Any],
        images: Mapping[str, Place] | None = None,
    ) -> None:
        """Add a row; `values` has an entry for every column, `images` those of a case of several."""
        self.paths.append(path)
        self.frames.append(frame)
        for name, entries in self.columns.items():
            entries.append(values[name])
        for name, places in self.modalities.items():
            places.append((images or {}).get(name))

    def count_frames(self, axis: int, stride: int) -> None:
        """Replace each file that holds several images by a row for each; reject those without any."""
        single = {suffix for name in _SINGLE for suffix in READERS[name].load().suffixes}
        rows: list[int] = []
        frames: list[int | None] = []
        for row, (path, frame) in enumerate(zip(self.paths, self.frames, strict=True)):
            found: Sequence[int | None] = (frame,)
            if frame is None and suffix_of(path) not in single:
                try:
                    found = _frames_of(path, axis, stride)
                except ImageError as error:
                    if not self.modalities:
                        self.rejected.append(Rejected(self.columns["file"][row], str(error)))
                        continue
                    found = (None,)  # the store lists the image, and goes on with the case's others
            rows.extend([row] * len(found))
            frames.extend(found)
        self._take(rows, frames)

    def _take(self, rows: list[int], frames: list[int | None]) -> None:
        """Repeat rows as often as they have frames, and name the frames."""
        named = [self.frames[row] is not None for row in rows]
        names = [self.columns["file"][row] for row in rows]
        self.columns = {name: [entries[row] for row in rows] for name, entries in self.columns.items()}
        self.columns["file"] = [
            name if frame is None or before else f"{name}#{frame}"
            for name, frame, before in zip(names, frames, named, strict=True)
        ]
        if any(frame is not None for frame in frames):
            self.columns[FILE_OF_FRAME] = [
                name.rpartition("#")[0] if before else name for name, before in zip(names, named, strict=True)
            ]
        self.paths = [self.paths[row] for row in rows]
        self.modalities = {
            name: [_same_frame(places[row], frame) for row, frame in zip(rows, frames, strict=True)]
            for name, places in self.modalities.items()
        }
        self.frames = frames


def _same_frame(place: Place | None, frame: int | None) -> Place | None:
    """Frame k of a case's first file goes with frame k of its other files, unless they name their own."""
    return place if place is None or place[1] is not None else (place[0], frame)


def _frames_of(path: Path, axis: int, stride: int) -> Sequence[int | None]:
    count = count_frames(path, axis=axis)
    if format_of(path) == "nifti":
        return range(0, count, stride)
    return range(count) if count > 1 else (None,)


def unusable(labels: LabelTable, row: int, cells: dict[str, Any]) -> list[Rejected]:
    """List what of a row cannot be used, and why."""
    if all(place is None for place in cells.values()):
        return [Rejected(labels.place(row), "it names no image: its file columns are empty")]
    goes_on = any(isinstance(place, tuple) for place in cells.values())
    texts = labels.modalities or {"file": labels.columns["file"]}
    return [
        Rejected(str(texts[modality][row]), place + WITHOUT_IT * goes_on)
        for modality, place in cells.items()
        if isinstance(place, str)
    ]


def file_size(path: Path) -> int | str:
    """Give a file's size in bytes, or why it has none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return "the file is missing"
    except (OSError, ValueError):
        return "the file cannot be reached"
    if stat.S_ISDIR(status.st_mode):
        return "it is a folder, not a file"
    # A pipe or a device would be waited for without end.
    return status.st_size if stat.S_ISREG(status.st_mode) else "it is not a regular file"
