"""Where an image is anomalous, as one ONNX graph from stored pixels, where a recipe can tell.

Detectors that judge places give their own maps. Any other detector on lite0's embedding is asked what each of
the 7 × 7 cells of the last feature maps adds to its score: the embedding is their mean, so that any mixture
of the image's cells and those of the mean normal image is scored by the same head, hundreds in one batch. A
cell's heat is what it adds, on average, while the others go from normal to what they are in the image. (To
leave one cell out of the whole is not enough: where the head is saturated, as an SVM is far from what it
knows, one cell less changes nothing.) No gradient is needed, so that it serves forests too.

Source: the diagonal of a game's multilinear extension, whose mean is the Shapley value: Owen, "Multilinear
extensions of games", Management Science 18 (1972).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto

from raresight.deploy.graph import detector_graph, front_graphs, scaling_graph, seen_rows
from raresight.errors import RaresightError
from raresight.experiment.recipe import FittedRecipe
from raresight.images.store import ImageStore
from raresight.represent.embedding import LITE0_FEATURES, LITE0_GRID
from raresight.represent.graphs import graph_of, joined

Array = NDArray[Any]

OWN = "the detector's own map of the image"
ADDED = "what a cell of the last feature maps adds to the score, the others being more or less normal"

CELLS = LITE0_GRID * LITE0_GRID

SHARES = (0.125, 0.375, 0.625, 0.875)
"""How far the other cells are from normal to the image's own."""

LOW, HIGH = 0.9, 0.999
"""Quantiles of the training images' heat that are shown as none, of normal ones, and as the most, of all."""

LOOKED_AT = 64
"""Training images of a class that these are taken from, at most."""


@dataclass(frozen=True, slots=True)
class HeatGraph:
    """A graph from ``pixels`` to ``heat``, and how it is shown.

    Attributes
    ----------
    content : bytes
    method : str
    low, high : float
    """

    content: bytes
    method: str
    low: float
    high: float


def heat_graph(fitted: FittedRecipe, store: ImageStore) -> HeatGraph | None:
    """Write a recipe's explanation as a graph; None where it has none, or it cannot be one graph.

    Parameters
    ----------
    fitted : FittedRecipe
    store : ImageStore
        What it was fitted on.
    """
    made, method = _own(fitted, store), OWN
    if made is None:
        made, method = _added(fitted, store), ADDED
    if made is None:
        return None
    content = made.SerializeToString()
    low, high = _range(content, fitted, store)
    return HeatGraph(content, method, low, high)


def _own(fitted: FittedRecipe, store: ImageStore) -> ModelProto | None:
    """Join the representation with the detector's own map."""
    from raresight.detect.export import export_module

    mapper = fitted.detector.mapper()
    if mapper is None:
        return None
    with TemporaryDirectory() as folder:
        path = Path(folder) / "map.onnx"
        export_module(mapper, path, seen_rows(fitted, store))
        return _joined([*front_graphs(fitted, store), onnx.load(path)])


def _added(fitted: FittedRecipe, store: ImageStore) -> ModelProto | None:
    """Score the embedding with and without each cell, between normal and the image."""
    make = getattr(fitted.space, "map_graph", None)
    maps = [] if make is None else make(store.pixels.shape[1:], store.pixels.dtype)
    if not maps:
        return None
    d, side, steps = LITE0_FEATURES, LITE0_GRID, len(SHARES)
    normal = _normal_maps(joined(maps, result="maps").SerializeToString(), fitted, store)
    cells = graph_of(
        f"""cells (float[n,{d},{side},{side}] maps) => (float[m,{d}] rows) {{
            flat = Reshape(maps, parts)
            apart = Sub(flat, normal)
            own = Div(apart, count)
            total = ReduceSum<keepdims=1>(own, last)
            others = Sub(total, own)
            deep = Unsqueeze(others, third)
            between = Mul(deep, shares)
            without = Add(between, start)
            own_deep = Unsqueeze(own, third)
            with = Add(without, own_deep)
            both = Concat<axis=3>(without, with)
            turned = Transpose<perm=[0,2,3,1]>(both)
            rows = Reshape(turned, wide)
        }}""",
        parts=np.array([-1, d, CELLS], np.int64),
        normal=normal[None],
        count=np.array(CELLS, np.float32),
        last=np.array([2], np.int64),
        third=np.array([3], np.int64),
        shares=np.array(SHARES, np.float32).reshape(1, 1, 1, steps),
        start=normal.mean(axis=1).reshape(1, d, 1, 1),
        wide=np.array([-1, d], np.int64),
    )
    gains = graph_of(
        f"""gains (float[m] scores) => (float[n,{side},{side}] heat) {{
            by = Reshape(scores, cells)
            without = Slice(by, begin, middle, axis)
            with = Slice(by, middle, end, axis)
            gained = Sub(with, without)
            mean = ReduceMean<keepdims=0>(gained, axis)
            heat = Reshape(mean, grid)
        }}""",
        cells=np.array([-1, CELLS, 2 * steps], np.int64),
        begin=np.array([0], np.int64),
        middle=np.array([steps], np.int64),
        end=np.array([2 * steps], np.int64),
        axis=np.array([2], np.int64),
        grid=np.array([-1, side, side], np.int64),
    )
    return _joined([*maps, cells, *scaling_graph(fitted), detector_graph(fitted, store), gains])


def _normal_maps(content: bytes, fitted: FittedRecipe, store: ImageStore) -> NDArray[np.float32]:
    """Average the cells of normal training images, (features, 49)."""
    rows = fitted.rows[store.manifest.y[fitted.rows] == 0][:LOOKED_AT]
    found = run_heat(content, np.asarray(store.pixels[rows]))
    return np.asarray(found.mean(axis=0, dtype=np.float64).reshape(LITE0_FEATURES, CELLS), np.float32)


def _joined(pieces: list[ModelProto]) -> ModelProto | None:
    try:
        return joined(pieces, result="heat")
    except RaresightError:
        return None


def run_heat(content: bytes, pixels: Array) -> NDArray[np.float32]:
    """Run a heat graph on (n, h, w, c) stored pixels, eight at a time."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    parts = [session.run(None, {"pixels": pixels[i : i + 8]})[0] for i in range(0, len(pixels), 8)]
    return np.concatenate(parts)


def _range(content: bytes, fitted: FittedRecipe, store: ImageStore) -> tuple[float, float]:
    y = store.manifest.y
    normal, anomalous = (fitted.rows[y[fitted.rows] == code][:LOOKED_AT] for code in (0, 1))
    cool = run_heat(content, np.asarray(store.pixels[normal]))
    every = [cool]
    if len(anomalous):
        every.append(run_heat(content, np.asarray(store.pixels[anomalous])))
    low = float(np.quantile(cool, LOW))
    high = float(np.quantile(np.concatenate(every), HIGH))
    return low, max(high, low + 1e-6)
