"""From what the user names to a manifest, without decoding a pixel.

Files are only opened here to count the frames of DICOM, TIFF and NIfTI files, or when their name does not
tell what they are. What turns out to be unreadable later is found by the image store.

**Names.** A file is named by its path within the set; frame k of a multi-frame file, page k of a TIFF and
slice k of a volume by ``path#k``, counted from 0 as `read_image` does. A label file may name single
frames that way too.

**Cases of several images** (T1, T2, FLAIR; two views; both eyes) are one row with several file columns:
``file_t1``, ``file_t2``, ``file_flair``, with or without ``file``. A column counts as one if it is of text
and at least one of its cells names a file that is there. An empty cell is a missing image; one whose file
cannot be used is treated the same and listed; a case without any is rejected. The first image there is names
the case and stands for it wherever one image is looked at; frame k of its file goes with frame k of the
others.

**Masks.** A column ``mask`` names the mask of an image's lesion: black, and one other value on the lesion, in
a PNG, BMP or TIFF of the image's size. An empty cell means that none is known; normal images need none.

**Where files may lie.** A folder's own label file may only name files inside that folder. A manifest given
by itself may name files beside and below it, and others by their absolute path; no relative path may lead
out of its folder. Rows that break this are rejected and never opened.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from raresight.errors import DataError, ImageError, OptionError
from raresight.images.labels import LabelTable, has_label_columns, read_label_table
from raresight.images.listing import FILE_OF_FRAME, Listing, file_size, unusable
from raresight.images.manifest import ImageSource, Manifest, Rejected, Task, make_manifest
from raresight.images.masks import MASK_COLUMN, MaskFile
from raresight.images.medmnist import load_medmnist
from raresight.images.readers import DEFAULT_MAX_PIXELS, READERS, format_of
from raresight.images.readers.base import suffix_of
from raresight.images.sources import CaseSource, FileSource
from raresight.images.splits import SPLITS

LABEL_FILE = "labels.csv"
TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")
GROUP_COLUMNS = ("group", "patient_id", "patient")
"""Columns that say which images belong together when the user names none, in order of preference."""

_COMPANIONS = ("readme", "license", "licence", "checksum")
_TEXT = ("", ".txt", ".md", ".rst")
_SYSTEM = ("thumbs.db", "desktop.ini", "__macosx")
_CHECKSUMS = ("sums", ".md5", ".sha1", ".sha256", ".sha512")


def load(
    data: str | Path,
    *,
    normal: Sequence[str] = (),
    anomaly: Sequence[str] = (),
    group: str | None = None,
    task: Task = "binary",
    max_pixels: int = DEFAULT_MAX_PIXELS,
    axis: int = 2,
    stride: int = 1,
    need_normal: bool = True,
    order: Sequence[str] = (),
) -> Manifest:
    """Find the images and labels of a set; their pixels stay where they are.

    Parameters
    ----------
    data : str or Path
        A folder with one sub-folder a class, optionally below ``train/``, ``test/``, ``val/``; a folder
        with ``labels.csv`` (columns ``file``, ``label``, perhaps ``mask``, and any others), or with one
        manifest and no sub-folder that would be a class; a ``.csv``, ``.tsv`` or ``.parquet`` manifest; a
        MedMNIST ``.npz``; or a phantom, ``phantom:brain?n=600&seed=0``.
    normal, anomaly : sequence of str, optional
        The labels that are normal, or those that are not; see `make_manifest`.
    group : str, optional
        The column that says which images belong together; without it ``group``, ``patient_id`` or
        ``patient`` if there is one. The frames of one file always belong together.
    task : {"binary", "multiclass"}
    max_pixels : int, default 100_000_000
        Images with more pixels than this are refused when they are read.
    axis : {0, 1, 2}, default 2
        The direction in which volumes are sliced: sagittal, coronal, axial.
    stride : int, default 1
        Take every so many-th slice of a volume.
    need_normal : bool, default True
        Whether a set whose normal class is neither named nor recognised is refused; else it is loaded as
        a multi-class one, which is all that an audit needs.
    order : sequence of str, optional
        Every class of a multi-class task once, lowest grade first. Without it labels that are numbers decide,
        then a column ``grade``, then the alphabet.

    Returns
    -------
    Manifest
        Its `rejected` lists what was found that cannot be used.

    Raises
    ------
    DataError
        If there is nothing to load, or the labels cannot be used.
    OptionError
        If an option does not fit the set.
    MissingExtraError
        If the set has files of a format whose library is not installed.
    """
    _check_options(task, max_pixels, axis, stride)
    name = str(data)
    table, source, rejected = _find(name, group, max_pixels, axis, stride)
    return make_manifest(
        table,
        source,
        name,
        normal=_as_names(normal),
        anomaly=_as_names(anomaly),
        task=task,
        rejected=rejected,
        need_normal=need_normal,
        order=_as_names(order),
    )


def _find(
    name: str, group: str | None, max_pixels: int, axis: int, stride: int
) -> tuple[pd.DataFrame, ImageSource, list[Rejected]]:
    if name.startswith("phantom:"):
        from raresight.images.phantoms import load_phantom

        table, source = load_phantom(name)
        return _with_group(table, group, name), source, []
    path = Path(name).expanduser()
    if not path.exists():
        raise DataError(_missing(path))
    if path.suffix.lower() == ".npz":
        table, arrays = load_medmnist(path, max_pixels)
        return _with_group(table, group, name), arrays, []
    listing = _list_folder(path, group) if path.is_dir() else _list_file(path, group)
    listing.count_frames(axis, stride)
    table = _with_group(pd.DataFrame(listing.columns), group, name)
    if listing.modalities:
        cases = CaseSource(listing.modalities, axis=axis, max_pixels=max_pixels)
        return table, cases, listing.rejected
    frames = [frame or 0 for frame in listing.frames]
    masks = _masks(path if path.is_dir() else path.parent, listing, frames, own=path.is_dir())
    source = FileSource(listing.paths, frames, axis=axis, max_pixels=max_pixels, masks=masks)
    return table, source, listing.rejected


def _check_options(task: str, max_pixels: int, axis: int, stride: int) -> None:
    if task not in get_args(Task):
        raise OptionError(f"unknown task {task!r}; there are: {', '.join(get_args(Task))}")
    if axis not in (0, 1, 2):
        raise OptionError(f"the axis is 0 (sagittal), 1 (coronal) or 2 (axial), not {axis}")
    if stride < 1 or max_pixels < 1:
        raise OptionError("the stride and the pixel limit must be at least 1")


def _as_names(names: Sequence[str]) -> tuple[str, ...]:
    """Take ``"a,b"`` for two names, which it is on the command line."""
    listed = names.split(",") if isinstance(names, str) else names
    return tuple(str(name).strip() for name in listed)


def _missing(path: Path) -> str:
    """Say that a path is not there, and what has a name like it."""
    parent = path.parent
    if not parent.is_dir():
        return f"there is no {path}: the folder {parent} does not exist either"
    near = get_close_matches(path.name, [p.name for p in parent.iterdir()], n=3)
    hint = f"; did you mean {' or '.join(str(parent / name) for name in near)}?" if near else ""
    return f"there is no {path}{hint}"


# --- folders ---------------------------------------------------------------------------------------


def _list_folder(folder: Path, group: str | None) -> Listing:
    if (folder / LABEL_FILE).is_file():
        return _list_table(folder / LABEL_FILE, folder, group, own=True)
    entries = sorted(entry for entry in folder.iterdir() if not _is_ignored(entry.name))
    folders = [entry for entry in entries if entry.is_dir()]
    tables = [entry for entry in entries if entry.is_file() and entry.suffix.lower() in TABLE_SUFFIXES]
    parts = [entry for entry in folders if entry.name.lower() in SPLITS]
    if len(tables) == 1 and not parts and (not folders or has_label_columns(tables[0])):
        return _list_table(tables[0], folder, group, own=True)
    if not folders:
        raise DataError(
            f"{folder} is empty"
            if not entries
            else f"{folder} has neither a sub-folder a class nor a {LABEL_FILE} (columns file and label)"
        )
    if parts and len(parts) < len(folders):
        others = ", ".join(entry.name for entry in folders if entry not in parts)
        raise DataError(
            f"{folder} has parts of a set ({parts[0].name}) beside other folders ({others}); move either"
        )
    return _list_classes(folder, parts, [entry for entry in entries if entry not in folders])


def _list_classes(folder: Path, parts: list[Path], strays: list[Path]) -> Listing:
    """List class folders, each a label, in the folder itself or in each of its parts."""
    columns: dict[str, list[Any]] = {"file": [], "label": []}
    if parts:
        columns["split"] = []
    listing = Listing(columns)
    for part in parts or [folder]:
        values = {"split": SPLITS[part.name.lower()]} if parts else {}
        for entry in sorted(part.iterdir()) if parts else [*strays, *_class_folders(folder)]:
            if entry.is_dir() and not _is_ignored(entry.name):
                _list_class(listing, folder, entry, values)
            elif not _is_ignored(entry.name):
                listing.rejected.append(
                    Rejected(entry.relative_to(folder).as_posix(), "it lies outside the class folders")
                )
    _note_sub_folders(listing)
    return listing


def _class_folders(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.is_dir())


def _list_class(listing: Listing, folder: Path, class_folder: Path, values: dict[str, str]) -> None:
    known = _known_suffixes()
    for path in _walk(class_folder):
        name = path.relative_to(folder).as_posix()
        reason = _why_unusable(path, known)
        if reason:
            listing.rejected.append(Rejected(name, reason))
        else:
            listing.add(path, None, {"file": name, "label": class_folder.name, **values})


def _walk(folder: Path) -> Iterator[Path]:
    """Go through a folder and what is below it, in sorted order; links to folders are handed out as files."""
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _is_ignored(name))
        links = [name for name in folders if (Path(root) / name).is_symlink()]
        for name in sorted([*files, *links]):
            if not _is_ignored(name):
                yield Path(root, name)


def _is_ignored(name: str) -> bool:
    """Tell what everyone knows to be no image and need not be told about."""
    lower = name.lower()
    companion = lower.startswith(_COMPANIONS) and Path(lower).suffix in _TEXT
    return name.startswith(".") or lower in _SYSTEM or companion or lower.endswith(_CHECKSUMS)


def _note_sub_folders(listing: Listing) -> None:
    """Keep the folders between class and file as a column: often the patients (``--group folder``)."""
    depth = 2 if "split" in listing.columns else 1
    inner = ["/".join(name.split("/")[depth:-1]) for name in listing.columns["file"]]
    if any(inner):
        listing.columns["folder"] = [name or None for name in inner]


def _known_suffixes() -> frozenset[str]:
    return frozenset(suffix for entry in READERS.values() for suffix in entry.load().suffixes)


def _why_unusable(path: Path, known: frozenset[str]) -> str:
    """Say why a file is not worth listing as an image; empty if it may be one."""
    size = file_size(path)
    if isinstance(size, str):
        return size
    if suffix_of(path) in known:
        return "" if size else "the file is empty"
    try:
        format_of(path)
    except ImageError as error:
        return str(error)
    return ""


# --- label files -----------------------------------------------------------------------------------


def _list_file(path: Path, group: str | None) -> Listing:
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise DataError(
            f"{path} is no image set: give a folder, a manifest ({', '.join(TABLE_SUFFIXES)}), "
            "a MedMNIST .npz or a phantom (phantom:brain)"
        )
    return _list_table(path, path.parent, group, own=False)


def _list_table(path: Path, root: Path, group: str | None, *, own: bool) -> Listing:
    """List what a label file names; `own` if it belongs to the folder that the user gave."""
    labels = read_label_table(path, group)
    located = {
        modality: [None if text is None else _locate(root, text, own) for text in cells]
        for modality, cells in (labels.modalities or {"file": labels.columns["file"]}).items()
    }
    there = {
        modality: cells
        for modality, cells in located.items()
        if modality == "file" or any(isinstance(place, tuple) for place in cells)
    }
    modalities: dict[str, list[Any]] = {modality: [] for modality in there} if len(there) > 1 else {}
    listing = Listing({name: [] for name in labels.columns}, modalities=modalities)
    seen: dict[tuple[Path, int | None], int] = {}
    for row, values in enumerate(zip(*labels.columns.values(), strict=True)):
        cells = {modality: places[row] for modality, places in (there or located).items()}
        found = {modality: place for modality, place in cells.items() if isinstance(place, tuple)}
        listing.rejected += unusable(labels, row, cells)
        for file, frame, name in found.values():
            if (file, frame) in seen:
                raise DataError(_named_twice(path, labels, seen[file, frame], row, name))
            seen[file, frame] = row
        if found:
            file, frame, name = next(iter(found.values()))
            images = {modality: (place[0], place[1]) for modality, place in found.items()}
            listing.add(file, frame, {**dict(zip(labels.columns, values, strict=True)), "file": name}, images)
    if not listing.paths:
        first = listing.rejected[0]
        raise DataError(
            f"none of the {len(listing.rejected)} files that {path} names can be used, the first being "
            f"{first.file}: {first.reason}; names are relative to {root}"
        )
    _refuse_overlap(path, seen)
    return listing


def _locate(root: Path, text: str, own: bool) -> tuple[Path, int | None, str] | str:
    """Find what one row names: its file, frame and name in the set; or say why it cannot be used."""
    inside = os.path.normpath(text)
    if Path(inside).is_absolute() and own:
        inside = os.path.relpath(inside, root.absolute())
    if inside == ".." or inside.startswith("../"):
        return "it lies outside the label file's folder; move it there, or use a manifest with absolute paths"
    path, frame, name = root / inside, None, Path(inside).as_posix()
    size = file_size(path)
    base, mark, number = inside.rpartition("#")
    if isinstance(size, str) and mark and number.isdecimal():
        path, frame = root / base, int(number)
        size = file_size(path)
    if isinstance(size, str):
        return size
    return (path, frame, name) if size else "the file is empty"


def _masks(root: Path, listing: Listing, frames: list[int], *, own: bool) -> list[MaskFile | str | None]:
    """Find each row's mask, as the column ``mask`` names it; of several pages that of the image's frame."""
    found: list[MaskFile | str | None] = []
    for text, frame in zip(listing.columns.get(MASK_COLUMN, []), frames, strict=False):
        located = None if text is None else _locate(root, text, own)
        if isinstance(located, tuple):
            file, page, _ = located
            found.append((file, frame if page is None else page))
        else:
            found.append(located)
    return found


def _named_twice(path: Path, labels: LabelTable, first: int, second: int, file: str) -> str:
    label = labels.columns["label"]
    lines = f"({labels.place(first)} and {labels.place(second)})"
    if label[first] == label[second]:
        return f"{path} names {file} twice {lines}: remove one of the two"
    return (
        f"{path} names {file} twice {lines}, as {label[first]!r} and as {label[second]!r}: "
        "keep the row that is right"
    )


def _refuse_overlap(path: Path, seen: dict[tuple[Path, int | None], int]) -> None:
    for file, frame in seen:
        if frame is not None and (file, None) in seen:
            raise DataError(
                f"{path} names {file.name} as a whole and also its frame {frame}: keep one of the two"
            )


# --- groups -----------------------------------------------------------------------------


def _with_group(table: pd.DataFrame, group: str | None, name: str) -> pd.DataFrame:
    """Settle the ``group`` column: the user's, a patient column, or the file of several frames."""
    files = table.pop(FILE_OF_FRAME) if FILE_OF_FRAME in table else None
    if group is not None and group not in table:
        raise OptionError(
            f"{name} has no column {group!r} to group by; there are: {', '.join(table.columns)}"
        )
    chosen = group or next((column for column in GROUP_COLUMNS if column in table), None)
    if chosen is not None:
        values = table[chosen]
        text = values.map(_group_name, na_action="ignore").astype(object)
        table["group"] = text.where(values.notna(), files if files is not None else None)
    elif files is not None:
        table["group"] = files
    return table


def _group_name(value: Any) -> str:
    """Write 17.0, which a column of numbers with gaps makes of 17, as 17."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
