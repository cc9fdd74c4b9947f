"""What the files tell before a pixel is decoded: size, format, compression, and columns of the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raresight.errors import ImageError, OptionError
from raresight.images.manifest import Manifest
from raresight.images.readers import READERS, format_of
from raresight.images.readers.raster import Raster
from raresight.images.sources import FileSource
from raresight.progress import Progress, silent

TAKEN = ("file", "label")
"""Columns that a probe may not see: the answer, and a name that often holds it."""


class FileFacts:
    """The facts of each file as numbers a tree can part.

    Parameters
    ----------
    columns : sequence of str
        Columns of the manifest that are added: scanner, site, the published size.
    """

    def __init__(self, columns: Sequence[str] = ()) -> None:
        self.columns = tuple(columns)

    def features(self, manifest: Manifest, progress: Progress = silent) -> NDArray[np.float32]:
        """Give (n, facts) float32; NaN where a file has no such fact.

        Raises
        ------
        OptionError
            If the manifest has no such column, or it is the file's name or label.
        """
        table = self.table(manifest, progress)
        found = np.empty((len(table), table.shape[1]), np.float32)
        for place, name in enumerate(table.columns):
            found[:, place] = _numbers(table[name])
        return found

    def table(self, manifest: Manifest, progress: Progress = silent) -> pd.DataFrame:
        """Give the facts as they are, one row an image; without any column where there are no files."""
        check_columns(manifest, self.columns)
        facts = pd.DataFrame(index=manifest.table.index)
        if isinstance(manifest.source, FileSource):
            source = manifest.source
            with progress("reading file headers", len(manifest)) as tick:
                rows = []
                for position in manifest.positions:
                    rows.append(file_facts(source.paths[position]))
                    tick(1)
            facts = pd.DataFrame(rows)
        return facts.assign(**{f"column {name}": manifest.table[name] for name in self.columns})


def check_columns(manifest: Manifest, columns: Sequence[str]) -> None:
    """Refuse columns that are not there or give the answer away; raises `OptionError`."""
    free = [name for name in manifest.table.columns if name not in TAKEN]
    there = f"there are: {', '.join(free)}" if free else "there is none beside file and label"
    for name in columns:
        if name in TAKEN:
            raise OptionError(f"--probe {name} is what the probes must guess; {there}")
        if name not in manifest.table:
            raise OptionError(f"{manifest.name} has no column {name!r} to probe; {there}")


def file_facts(path: Path) -> dict[str, Any]:
    """Read a file's facts from its header.

    Parameters
    ----------
    path : Path

    Returns
    -------
    dict of str to text or number
        ``bytes`` and ``format``; of raster files and DICOM objects also ``width``, ``height`` and ``mode``
        (colour type and depth); of JPEG files the sums of the first two quantisation tables and their first
        entries, the number of layers and whether the file is progressive. What cannot be read is left out.
    """
    try:
        facts: dict[str, Any] = {"bytes": path.stat().st_size, "format": format_of(path)}
        reader = _readers()[facts["format"]]
        if isinstance(reader, Raster):
            facts |= _raster_facts(path, reader)
        elif facts["format"] == "dicom":
            facts |= _dicom_facts(path)
    except (ImageError, OSError):
        return {}
    return facts


@cache
def _readers() -> dict[str, Any]:
    return {name: entry.load() for name, entry in READERS.items()}


def _raster_facts(path: Path, reader: Raster) -> dict[str, Any]:
    module, _, name = reader.plugin.partition(":")
    try:
        with path.open("rb") as stream, getattr(import_module(module), name)(stream) as image:
            facts = {"width": image.size[0], "height": image.size[1], "mode": image.mode}
            for number, table in sorted(getattr(image, "quantization", {}).items())[:2]:
                facts |= {f"quantisation {number}": sum(table), f"quantisation {number} first": table[0]}
            if "quantisation 0" in facts:
                facts |= {"layers": image.layers, "progressive": bool(image.info.get("progressive"))}
            return facts
    except Exception:  # the store already says what is wrong with the file
        return {}


def _dicom_facts(path: Path) -> dict[str, Any]:
    from pydicom import dcmread

    wanted = {"Columns": "width", "Rows": "height"}
    kinds = ("PhotometricInterpretation", "BitsStored")
    try:
        found = dcmread(path, force=True, stop_before_pixels=True, specific_tags=[*wanted, *kinds])
        facts: dict[str, Any] = {name: int(found[tag].value) for tag, name in wanted.items() if tag in found}
        return facts | {"mode": " ".join(str(found.get(tag)) for tag in kinds)}
    except Exception:  # as above
        return {}


def _numbers(column: pd.Series[Any]) -> NDArray[np.float32]:
    """Give numbers as they are, and texts as their places in alphabetical order."""
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(np.float32, na_value=np.nan)
    codes = pd.factorize(column.astype(str).where(column.notna()), sort=True)[0].astype(np.float32)
    return np.where(codes < 0, np.float32(np.nan), codes)
