"""Where an image is anomalous, as one ONNX graph from stored pixels, where a recipe can tell.

Detectors that judge places give their own maps. Any other detector on lite0's embedding is asked what its
score would be without each of the 7 × 7 cells of the last feature maps: the embedding is their mean, and the
mean without one cell is scored by the same head, all 49 in one batch. A cell's heat is what the score loses
without it. Source: occlusion, of features rather than pixels; Zeiler & Fergus, "Visualizing and understanding
convolutional networks", ECCV 2014.
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
LEFT_OUT = "what the score loses without a cell of the last feature maps"

CELLS = LITE0_GRID * LITE0_GRID

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
        made, method = _left_out(fitted, store), LEFT_OUT
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


def _left_out(fitted: FittedRecipe, store: ImageStore) -> ModelProto | None:
    """Score the embedding as it is and without each cell."""
    make = getattr(fitted.space, "map_graph", None)
    maps = [] if make is None else make(store.pixels.shape[1:], store.pixels.dtype)
    if not maps:
        return None
    d, side = LITE0_FEATURES, LITE0_GRID
    cells = graph_of(
        f"""cells (float[n,{d},{side},{side}] maps) => (float[m,{d}] rows) {{
            flat = Reshape(maps, parts)
            total = ReduceSum<keepdims=1>(flat, last)
            rest = Sub(total, flat)
            without = Div(rest, fewer)
            whole = Div(total, all)
            every = Concat<axis=2>(whole, without)
            turned = Transpose<perm=[0,2,1]>(every)
            rows = Reshape(turned, wide)
        }}""",
        parts=np.array([-1, d, CELLS], np.int64),
        last=np.array([2], np.int64),
        fewer=np.array(CELLS - 1, np.float32),
        all=np.array(CELLS, np.float32),
        wide=np.array([-1, d], np.int64),
    )
    losses = graph_of(
        f"""losses (float[m] scores) => (float[n,{side},{side}] heat) {{
            by = Reshape(scores, images)
            whole = Slice(by, start, second, axis)
            without = Slice(by, second, end, axis)
            lost = Sub(whole, without)
            heat = Reshape(lost, grid)
        }}""",
        images=np.array([-1, CELLS + 1], np.int64),
        start=np.array([0], np.int64),
        second=np.array([1], np.int64),
        end=np.array([CELLS + 1], np.int64),
        axis=np.array([1], np.int64),
        grid=np.array([-1, side, side], np.int64),
    )
    return _joined([*maps, cells, *scaling_graph(fitted), detector_graph(fitted, store), losses])


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
