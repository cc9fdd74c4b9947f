"""Label files and manifests: tables with the columns file and label, as CSV or Parquet.

A case of several images has them in one row: ``file_t1``, ``file_flair`` and so on, with or without ``file``.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from raresight.errors import DataError

_LOWER_CASE = ("file", "label", "split", "group", "patient", "patient_id", "mask")
MODALITY_PREFIX = "file_"
"""How the name of a column with one of a case's further images begins."""

_DELIMITERS = ",;\t"
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)?(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?(?<=[0-9])")


@dataclass(frozen=True, slots=True)
class LabelTable:
    """A label file's columns, each a list with an entry a row; empty cells are None.

    Attributes
    ----------
    columns : dict of str to list
        ``file`` and ``label`` are text and complete; ``split`` and ``mask`` are text; others are
        numbers if all of their cells are, else text.
    lines : sequence of int
        Where each row stands in the file.
    unit : str
        What `lines` counts: ``"line"`` or ``"row"``.
    modalities : dict of str to list
        For a set whose cases may have several images, the cells of each file column as they stand, by the
        column's name without ``file_`` (the column ``file`` is called that); else empty. ``file`` in
        `columns` then is a case's first image, None where it has none.
    """

    columns: dict[str, list[Any]]
    lines: Sequence[int]
    unit: str
    modalities: dict[str, list[str | None]] = field(default_factory=dict)

    def place(self, row: int) -> str:
        """Say where a row stands."""
        return f"{self.unit} {self.lines[row]}"


def has_label_columns(path: Path) -> bool:
    """Tell whether a table is meant as a label file; one that cannot be read is not."""
    try:
        table = _read(path, None)
    except DataError:
        return False
    names = {_plain_name(name) for name in table.columns}
    return "label" in names and ("file" in names or any(n.startswith(MODALITY_PREFIX) for n in names))


def read_label_table(path: Path, group: str | None = None) -> LabelTable:
    """Read a label file.

    Parameters
    ----------
    path : Path
        ``.parquet``, or text in UTF-8 (UTF-16 with a byte-order mark) whose cells are separated by commas,
        semicolons or tabs.
    group : str, optional
        A column of identifiers, which stay text: 1.10 is not 1.1.

    Raises
    ------
    DataError
        If it cannot be read, lacks a column, or has rows without file or label.
    """
    table = _read(path, group)
    columns = {_plain_name(name): cells for name, cells in table.columns.items()}
    if len(columns) < len(table.columns):
        raise DataError(f"{path} has two columns of the same name: {', '.join(table.columns)}")
    modalities = _modalities(columns)
    if modalities:
        columns["file"] = _first(modalities)
    absent = [name for name in ("file", "label") if name not in columns]
    if absent:
        raise DataError(
            f"{path} has no column {' and no column '.join(absent)}; "
            f"its columns are: {', '.join(table.columns)}"
        )
    for name in ("file", "label", "split", "mask"):
        if name in columns:
            columns[name] = [_as_text(cell) for cell in columns[name]]
    table = LabelTable(columns, table.lines, table.unit, modalities)
    _refuse_gaps(path, table)
    return table


def _read(path: Path, group: str | None) -> LabelTable:
    return _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_text(path, group)


def _plain_name(name: str) -> str:
    return name.lower() if name.lower() in _LOWER_CASE else name


def _modalities(columns: dict[str, list[Any]]) -> dict[str, list[str | None]]:
    """Find the columns that may name a case's images: those of text; ``file_size`` is none of them."""
    found = {
        name.removeprefix(MODALITY_PREFIX): [_as_text(cell) for cell in cells]
        for name, cells in columns.items()
        if name.startswith(MODALITY_PREFIX) and any(isinstance(cell, str) for cell in cells)
    }
    if found and "file" in columns:
        return {"file": [_as_text(cell) for cell in columns["file"]], **found}
    return found


def _first(modalities: dict[str, list[str | None]]) -> list[str | None]:
    """Give each row's first cell that isn't empty."""
    rows = zip(*modalities.values(), strict=True)
    return [next((cell for cell in cells if cell is not None), None) for cells in rows]


def _refuse_gaps(path: Path, table: LabelTable) -> None:
    if not table.lines:
        raise DataError(f"{path} has no rows")
    files = table.columns["file"]
    # A case without any image is no damage to the file: it is rejected by itself.
    for name in ("label",) if table.modalities else ("file", "label"):
        gaps = [row for row, cell in enumerate(table.columns[name]) if cell is None]
        if gaps:
            of = f" ({files[gaps[0]]})" if files[gaps[0]] else ""
            raise DataError(
                f"{path} has {len(gaps)} row{'s' * (len(gaps) > 1)} without a {name}, the first in "
                f"{table.place(gaps[0])}{of}: fill in or remove"
            )


def _as_text(cell: Any) -> str | None:
    """Write a cell as text; whole numbers without a decimal point, so that grade 2.0 is the class 2."""
    if cell is None or (isinstance(cell, float) and cell != cell):
        return None
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip() or None


def _read_parquet(path: Path) -> LabelTable:
    try:
        frame = pd.read_parquet(path)
    except Exception as error:
        raise DataError(f"{path} cannot be read as Parquet ({type(error).__name__})") from error
    columns = {
        str(name): [
            None if pd.api.types.is_scalar(cell) and pd.isna(cell) else cell for cell in frame[name].tolist()
        ]
        for name in frame.columns
    }
    return LabelTable(columns, range(1, len(frame) + 1), "row")


def _read_text(path: Path, group: str | None) -> LabelTable:
    text = _decode(path)
    header = text.split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    lines: list[int] = []
    rows: list[list[str]] = []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append([cell.strip() for cell in cells])
                lines.append(reader.line_num)
    except csv.Error as error:
        raise DataError(f"{path} is damaged in line {reader.line_num} ({error})") from error
    if not rows:
        raise DataError(f"{path} is empty")
    names = rows[0]
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(names):
            raise DataError(
                f"{path} has {len(row)} cells in line {line} and {len(names)} columns; quote or repair it"
            )
    if len(set(names)) < len(names):
        raise DataError(f"{path} has two columns of the same name: {', '.join(names)}")
    cells_of = {name: [row[i] or None for row in rows[1:]] for i, name in enumerate(names)}
    columns: dict[str, list[Any]] = {
        name: list(cells) if name == group or _plain_name(name) in _LOWER_CASE else _typed(cells)
        for name, cells in cells_of.items()
    }
    return LabelTable(columns, lines[1:], "line")


def _decode(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(f"{path} is not UTF-8 text (line {line}): save it as CSV UTF-8") from error


def _typed(cells: list[str | None]) -> list[Any]:
    """Make numbers of a column whose cells all are; identifiers such as 007 or 1_2 stay text."""
    filled = [cell for cell in cells if cell is not None]
    if all(_INTEGER.fullmatch(cell) for cell in filled):
        return [None if cell is None else int(cell) for cell in cells]
    if all(_DECIMAL.fullmatch(cell) for cell in filled):
        return [None if cell is None else float(cell) for cell in cells]
    return list(cells)
