"""Cases: the embedding of each of their images, and columns of the table beside them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raresight.errors import DataError, OptionError
from raresight.images.store import ImageStore
from raresight.progress import Progress, silent
from raresight.represent.backbones import EXPORT_VERSION, LITE0_PIXELS, OnnxBackbone, lite0_onnx
from raresight.represent.embedding import Embedding

Array = NDArray[Any]
Rows = NDArray[np.int64]

ONLY = "image"
"""What the one image of a case is called where a set has one a case."""

MOST_VALUES = 30
"""A nominal column with more values is rather an identifier."""

ANSWERS = ("label", "file", "lesion_kind", "lesion_place", "lesion_diameter", "lesion_contrast")
"""Columns that are, or hold, the answer."""


@dataclass(frozen=True, slots=True)
class Block:
    """Neighbouring features that belong together: a modality's embedding, or the table.

    Attributes
    ----------
    name : str
    start, stop : int
        Columns ``start … stop − 1`` of the rows.
    table : bool
        Whether it is the table.
    """

    name: str
    start: int
    stop: int
    table: bool = False


class Cases:
    """Frozen lite0 features of each of a case's images, then the table's columns; NaN where missing.

    Numbers are standardised by the training rows; nominal columns (of text or truth values) become one
    feature for each value that occurs in the training rows, all 0 where a cell is empty or its value is new.
    A missing image makes all of its features NaN, an empty number that one feature.

    Parameters
    ----------
    modalities : str or None
        ``"all"`` of the set's, some of them joined by ``+``, or None (``none``) for the table alone.
    table : str or None
        The manifest's columns that are seen, joined by ``+``: ``age+sex``. None are unless named: a column
        may well hold the answer.

    Attributes
    ----------
    blocks_ : tuple of Block
    nominal_ : tuple of (int, int)
        For each nominal column the features ``start … stop − 1`` that stand for it.
    """

    learned = True

    def __init__(self, modalities: str | None = "all", table: str | None = None) -> None:
        if modalities is None and table is None:
            raise OptionError(
                "cases[modalities=none] sees nothing; name columns: cases[modalities=none,table=age]"
            )
        held = [name for name in _names(table) if name in ANSWERS or name.startswith("file_")]
        if held:
            raise OptionError(
                f"cases[table={held[0]}] would show a model the answer or a file's name; leave it out"
            )
        self.modalities, self.table = modalities, table

    def prepare(self, store: ImageStore, progress: Progress = silent) -> None:
        """Embed every image once, before worker processes ask for it."""
        for name in self._wanted(store):
            _embedding(store, name, progress)

    def fit(self, store: ImageStore, rows: Rows) -> Self:
        """Learn the columns' means, deviations and values from some rows.

        Raises
        ------
        OptionError
            If a modality or column is unknown, or a nominal column has more values than `MOST_VALUES`.
        DataError
            If a modality or column is missing in all of the rows.
        """
        self.names_ = self._wanted(store)
        blocks: list[Block] = []
        for name in self.names_:
            features = _embedding(store, name)
            if np.isnan(features[rows, 0]).all():
                raise DataError(
                    f"none of the {len(rows)} training cases has an image {name!r}; leave it out of "
                    f"--representation cases[modalities=…]"
                )
            start = blocks[-1].stop if blocks else 0
            blocks.append(Block(name, start, start + features.shape[1]))
        start = blocks[-1].stop if blocks else 0
        self.columns_ = [_learn(store, name, rows) for name in _names(self.table)]
        ends = start + np.cumsum([0, *(column.width for column in self.columns_)])
        if self.columns_:
            blocks.append(Block("table", start, int(ends[-1]), table=True))
        self.blocks_ = tuple(blocks)
        self.nominal_ = tuple(
            (int(first), int(last))
            for column, first, last in zip(self.columns_, ends[:-1], ends[1:], strict=True)
            if column.values is not None
        )
        return self

    def transform(self, store: ImageStore, rows: Rows) -> NDArray[np.float32]:
        """Give (len(rows), features) float32, NaN where missing."""
        there = store.modalities or (ONLY,)
        X = np.full((len(rows), self.blocks_[-1].stop), np.nan, np.float32)
        for block in self.blocks_:
            if not block.table and block.name in there:
                X[:, block.start : block.stop] = _embedding(store, block.name)[rows]
        if self.columns_:
            X[:, self.blocks_[-1].start :] = np.hstack(
                [column.features(_column(store, column.name).iloc[rows]) for column in self.columns_]
            )
        return X

    def of(self, images: Array) -> NDArray[np.float32]:
        """Represent (n, 224, 224, c) images that are not in a store: the first modality, all else missing."""
        X = np.full((len(images), self.blocks_[-1].stop), np.nan, np.float32)
        for first, last in self.nominal_:
            X[:, first:last] = 0
        if self.names_:
            X[:, : self.blocks_[0].stop] = OnnxBackbone(lite0_onnx()).embed(images, workers=1)
        return X

    def _wanted(self, store: ImageStore) -> tuple[str, ...]:
        there = store.modalities or (ONLY,)
        if self.modalities == "all":
            return there
        wanted = tuple(_names(self.modalities))
        unknown = [name for name in wanted if name not in there]
        if unknown:
            raise OptionError(
                f"{store.manifest.name} has no images {unknown[0]!r} for "
                f"cases[modalities={self.modalities}]; "
                f"there are: {', '.join(there)}"
            )
        return wanted


@dataclass(frozen=True, slots=True)
class _Column:
    """How one column of the table becomes features: a standardised number, or one feature a value."""

    name: str
    values: tuple[str, ...] | None
    mean: float = 0.0
    deviation: float = 1.0

    @property
    def width(self) -> int:
        return 1 if self.values is None else len(self.values)

    def features(self, cells: pd.Series) -> NDArray[np.float32]:
        """Give (n, width) float32."""
        if self.values is None:
            numbers = pd.to_numeric(cells, errors="coerce").to_numpy(np.float64, na_value=np.nan)
            return ((numbers - self.mean) / self.deviation).astype(np.float32)[:, None]
        texts = cells.astype(object).where(cells.notna(), None).map(_text).to_numpy()
        same = texts[:, None] == np.array(self.values, object)[None, :]
        return np.asarray(same, np.float32)


def _learn(store: ImageStore, name: str, rows: Rows) -> _Column:
    cells = _column(store, name).iloc[rows]
    filled = cells[cells.notna()]
    if not len(filled):
        raise DataError(
            f"the column {name!r} is empty in all {len(rows)} training cases; leave it out of "
            "--representation cases[table=…]"
        )
    if _is_numeric(_column(store, name)):
        numbers = filled.to_numpy(np.float64)
        return _Column(name, None, float(numbers.mean()), float(numbers.std()) or 1.0)
    values = tuple(sorted(set(filled.map(_text))))
    if len(values) > MOST_VALUES:
        raise OptionError(
            f"the column {name!r} has {len(values)} values, as an identifier has; leave it out of "
            "--representation cases[table=…]"
        )
    return _Column(name, values)


def _column(store: ImageStore, name: str) -> pd.Series:
    table = store.manifest.table
    if name not in table:
        usable = [
            column
            for column in map(str, table.columns)
            if column not in ANSWERS and not column.startswith("file_")
        ]
        raise OptionError(
            f"{store.manifest.name} has no column {name!r} for cases[table=…]; "
            f"there are: {', '.join(usable) or 'none'}"
        )
    return table[name]


def _is_numeric(cells: pd.Series) -> bool:
    kinds = pd.api.types
    return bool(kinds.is_numeric_dtype(cells) and not kinds.is_bool_dtype(cells))


def _text(cell: Any) -> str | None:
    return None if cell is None else str(cell)


def _names(joined: str | None) -> list[str]:
    return [name for name in str(joined).split("+") if name] if joined is not None else []


def _embedding(store: ImageStore, name: str, progress: Progress = silent) -> Array:
    """Give a modality's features of every case, memory-mapped, NaN where it is missing."""
    if not store.modalities:
        return Embedding().whole(store, progress)

    def make() -> Array:
        if store.preprocess.size != LITE0_PIXELS:
            raise OptionError(f"lite0 sees {LITE0_PIXELS} pixels; leave out --size {store.preprocess.size}")
        pixels, present = store.modality(name)
        with progress(f"embedding images {name}", len(store)) as tick:
            features = OnnxBackbone(lite0_onnx()).embed(pixels, os.cpu_count() or 1, tick)
        features[~present] = np.nan
        return features

    place = store.modalities.index(name)
    return store.derived(f"embedding-lite0-v{EXPORT_VERSION}-modality-{place}", make)
