"""Subgroups that a manifest's columns make: ``sex``, ``site``, ``age:10``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from raresight.errors import OptionError
from raresight.images.load import GROUP_COLUMNS
from raresight.images.manifest import Manifest

UNKNOWN = "unknown"
"""The subgroup of images whose value is missing."""

MOST_LEVELS = 20
"""A column with more values than this divides a set too finely to say anything, and might name patients."""

KEPT_BACK = frozenset({"file", "label", "split", "mask", *GROUP_COLUMNS})
"""Columns that are no property of a patient, or tell who it is."""


@dataclass(frozen=True, slots=True)
class By:
    """A column, and how wide its bins are.

    Attributes
    ----------
    column : str
    width : float or None
        None: each value is a subgroup.
    """

    column: str
    width: float | None = None

    def __str__(self) -> str:
        return self.column if self.width is None else f"{self.column}:{self.width:g}"


def parse_by(text: str) -> By:
    """Read ``sex`` or ``age:10``.

    Raises
    ------
    OptionError
        If there is no column, or the width of the bins is not a number above 0.
    """
    column, colon, width = (part.strip() for part in text.partition(":"))
    if not column:
        raise OptionError(f"cannot read --by {text!r}; write columns, for example sex,site,age:10")
    if not colon:
        return By(column)
    try:
        number = float(width)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise OptionError(f"--by {text} needs a width above 0; write {column}:10 for bins of ten")
    return By(column, number)


def subgroups_of(images: Manifest, by: Sequence[str]) -> pd.DataFrame:
    """Tell which subgroup each image belongs to.

    Parameters
    ----------
    images : Manifest
    by : sequence of str
        Columns, see `parse_by`.

    Returns
    -------
    pandas.DataFrame
        ``row``, and for each entry of `by` a text column of its name: the value, its bin (``20–29``), or
        `UNKNOWN`. Nothing finer than the bins.

    Raises
    ------
    OptionError
        If there is no such column, it may tell who a patient is, it has too many values, or bins are asked of
        a column that is not of numbers.
    """
    found: dict[str, Any] = {"row": np.arange(len(images))}
    for each in map(parse_by, dict.fromkeys(by)):
        found[str(each)] = _levels(images, each)
    return pd.DataFrame(found)


def _levels(images: Manifest, by: By) -> pd.Series[str]:
    table = images.table
    there = [name for name in table if name not in KEPT_BACK]
    if by.column in KEPT_BACK:
        raise OptionError(f"--by {by.column} is no property of a patient; name another column")
    if by.column not in table:
        known = f"there are: {', '.join(map(str, there))}" if there else "it has none beside file and label"
        raise OptionError(f"{images.name} has no column {by.column!r}; {known}")
    values = table[by.column]
    levels = _binned(values, by) if by.width is not None else _plain(values)
    count = levels.nunique()
    if count > MOST_LEVELS:
        way = f"write --by {by.column}:10 for bins of ten" if by.width is None else "write wider bins"
        raise OptionError(f"--by {by} makes {count} subgroups, and {MOST_LEVELS} are the most; {way}")
    return levels


def _plain(values: pd.Series[str]) -> pd.Series[str]:
    text = values.astype(str).str.strip()
    return text.where(values.notna() & (text != ""), UNKNOWN)


def _binned(values: pd.Series[str], by: By) -> pd.Series[str]:
    width = by.width or 1.0
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.notna().sum() < values.notna().sum() / 2 or not numbers.notna().any():
        raise OptionError(f"--by {by} makes bins, and {by.column} does not hold numbers; write {by.column}")
    low = np.floor(numbers / width) * width
    return pd.Series([_bin(value, width) for value in low], index=values.index)


def _bin(low: float, width: float) -> str:
    """Write a bin: ``20–29`` for whole numbers, else ``0.5 to 1``."""
    if not math.isfinite(low):
        return UNKNOWN
    if width >= 2 and float(width).is_integer():
        return f"{low:g}–{low + width - 1:g}"
    return f"{low:g} to {low + width:g}"
