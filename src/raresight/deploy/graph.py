"""From a fitted recipe to ONNX graphs of all that lies between stored pixels and its score."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, helper

from raresight.errors import OptionError, RaresightError
from raresight.experiment.recipe import FittedRecipe, Recipe
from raresight.images.store import ImageStore
from raresight.represent import REPRESENTATIONS
from raresight.represent.graphs import graph_of, joined

Array = NDArray[Any]

FEATURES = "features"
"""The second output: what the representation makes of an image, as a row of numbers."""


def check_exportable(recipe: Recipe) -> None:
    """Refuse, before any work, a recipe that sees what no graph takes.

    Raises
    ------
    OptionError
        If it sees several images and a table, or another package's representation that has no graph.
    """
    name = recipe.representation.name
    if name == "cases":
        raise OptionError(
            f"{recipe.model.name} sees several images and a table a case, and a bundle takes one image; "
            "choose a model that sees one"
        )
    if not hasattr(REPRESENTATIONS[name].load(), "graph"):
        raise OptionError(f"the representation {name} cannot be exported, so there is no bundle of it")


def scoring_graphs(fitted: FittedRecipe, store: ImageStore) -> list[ModelProto]:
    """Write a recipe's scoring path as graphs run one after another, one if they can be joined.

    Parameters
    ----------
    fitted : FittedRecipe
        Of a binary task.
    store : ImageStore
        What it was fitted on.

    Returns
    -------
    list of ModelProto
        The first takes ``pixels`` (n, size, size, c) of the store's depth, each the first output of the one
        before; the last gives ``score`` (n,), to which ``fitted.shift`` is still to be added. Where the
        representation gives rows of features, or maps, one also gives ``features`` (n, d) float32.

    Raises
    ------
    OptionError
        See `check_exportable`.
    """
    front = front_graphs(fitted, store)
    rows = fitted.space.transform(store, fitted.rows[:2])
    pieces = [*front]
    if front and rows.dtype.kind == "f":
        _add_features(pieces[-1], rows.ndim)
    pieces += [*scaling_graph(fitted), detector_graph(fitted, store)]
    try:
        return [joined(pieces, keep=(FEATURES,))]
    except RaresightError:
        return pieces


def front_graphs(fitted: FittedRecipe, store: ImageStore) -> list[ModelProto]:
    """Give the representation's graphs; none where the detector sees the stored pixels."""
    check_exportable(fitted.recipe)
    views = getattr(fitted.detector, "views_", None)
    more = {} if views is None else {"views": views}
    found: list[ModelProto] = fitted.space.graph(store.pixels.shape[1:], store.pixels.dtype, **more)
    return found


def _add_features(model: ModelProto, dimensions: int) -> None:
    """Give a graph of rows (n, d), maps (n, h, w, d) or maps in views a second output ``features``."""
    graph = model.graph
    source = graph.output[0].name
    middle, axes = source, {2: [], 4: [1, 2], 5: [2, 3]}[dimensions]
    if dimensions == 5:
        ends = {"first": 0, "second": 1}
        for name, value in ends.items():
            graph.initializer.append(helper.make_tensor(f"view_{name}", onnx.TensorProto.INT64, [1], [value]))
        graph.initializer.append(helper.make_tensor("view_axis", onnx.TensorProto.INT64, [1], [1]))
        graph.node.append(
            helper.make_node("Slice", [source, "view_first", "view_second", "view_axis"], ["one_view"])
        )
        middle = "one_view"
    graph.node.append(helper.make_node("Cast", [middle], ["full_features"], to=onnx.TensorProto.FLOAT))
    if axes:
        every = axes if dimensions == 4 else [1, *axes]
        graph.initializer.append(
            helper.make_tensor("feature_axes", onnx.TensorProto.INT64, [len(every)], every)
        )
        graph.node.append(
            helper.make_node("ReduceMean", ["full_features", "feature_axes"], [FEATURES], keepdims=0)
        )
    else:
        graph.node.append(helper.make_node("Identity", ["full_features"], [FEATURES]))
    graph.output.append(helper.make_tensor_value_info(FEATURES, onnx.TensorProto.FLOAT, ["n", None]))


def scaling_graph(fitted: FittedRecipe) -> list[ModelProto]:
    """Give the graph by which features are standardised; none where they are not."""
    if fitted.scaler is None:
        return []
    found = graph_of(
        "scaled (float[n,d] x) => (float[n,d] y) { centred = Sub(x, mean) y = Div(centred, deviation) }",
        mean=fitted.scaler.mean_.astype(np.float32),
        deviation=fitted.scaler.scale_.astype(np.float32),
    )
    return [found]


def seen_rows(fitted: FittedRecipe, store: ImageStore) -> Array:
    """Give two rows as the detector's graph takes them."""
    seen = np.asarray(fitted.seen(store, fitted.rows[:2]))
    views = getattr(fitted.detector, "views_", None)
    return seen if views is None else seen[:, :views]


def detector_graph(fitted: FittedRecipe, store: ImageStore) -> ModelProto:
    """Give the detector's own graph, from what it sees to its score."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "detector.onnx"
        fitted.detector.export_onnx(path, seen_rows(fitted, store))
        return onnx.load(path)


def run_graphs(graphs: list[bytes], pixels: Array) -> NDArray[np.float64]:
    """Run graphs one after another on (n, h, w, c) stored pixels: what the last one gives, (n,)."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    found: Array = pixels
    for graph in graphs:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        found = session.run(None, {session.get_inputs()[0].name: found})[0]
    return found.astype(np.float64)


def check_graphs(graphs: list[bytes], fitted: FittedRecipe, store: ImageStore, rows: Array) -> float:
    """Run graphs on some rows of the store and give the largest difference from the recipe's own scores.

    Raises
    ------
    RaresightError
        If one is larger than 1e-4 and 1e-4 of the score together.
    """
    expected = fitted.score(store, rows)
    apart = np.abs(run_graphs(graphs, np.asarray(store.pixels[rows])) + fitted.shift - expected)
    if (apart > 1e-4 + 1e-4 * np.abs(expected)).any():
        raise RaresightError(
            f"the graph of {fitted.recipe.id} scores images by up to {apart.max():.2g} otherwise than the "
            "detector itself; please report it"
        )
    return float(apart.max())
