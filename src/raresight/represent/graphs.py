"""Representations as ONNX graphs, and graphs joined one after the other.

A representation's method ``graph(shape, dtype)`` gives graphs from stored pixels to what `transform` gives;
each one's first output is the next one's input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from onnx import ModelProto, checker, compose, numpy_helper, parser, version_converter

from raresight.errors import RaresightError

Array = NDArray[Any]

OPSET = 20
"""What the frozen backbones are exported in; graphs of another version are brought to it."""

IR_VERSION = 10
OLDEST_ALIKE = 18
"""From here to `OPSET` operators changed their types and names, not their meaning."""


def graph_of(text: str, **weights: Array) -> ModelProto:
    """Read a graph in ONNX's own notation, ``name (float[n,3] x) => (float[n] y) { … }``.

    Parameters
    ----------
    text : str
        The graph; other names that it uses are in `weights`.
    **weights : arrays
    """
    head = f'<ir_version: {IR_VERSION}, opset_import: ["" : {OPSET}]>'
    model = parser.parse_model(f"{head}\n{text}")
    model.graph.initializer.extend(
        numpy_helper.from_array(np.ascontiguousarray(values), name) for name, values in weights.items()
    )
    checker.check_model(model)
    return model


def rgb_graph(shape: Sequence[int], dtype: DTypeLike) -> ModelProto:
    """From stored pixels to colour of 0 … 255, (n, h, w, 3) float32, as `FrozenBackbone` takes them.

    Parameters
    ----------
    shape : (h, w, channels)
        Of a stored image; one channel is repeated.
    dtype : dtype
        uint8 or uint16.
    """
    height, width, channels = shape
    kind = np.dtype(dtype)
    scaled = "values" if kind == np.uint8 else "scaled"
    lines = ["values = Cast<to=1>(pixels)"]
    if kind != np.uint8:
        lines += ["deep = Constant<value = float {257.0}>()", "scaled = Div(values, deep)"]
    planes = scaled if channels == 3 else ", ".join([scaled] * 3)
    lines.append(f"rgb = Identity({scaled})" if channels == 3 else f"rgb = Concat<axis=3>({planes})")
    size = f"{height},{width}"
    body = "\n".join(lines)
    return graph_of(f"colour ({kind}[n,{size},{channels}] pixels) => (float[n,{size},3] rgb) {{ {body} }}")


def reduced_graph(shape: Sequence[int], dtype: DTypeLike, size: int, luminance: Array | None) -> ModelProto:
    """From stored pixels to smaller ones, perhaps grey: what `raresight.represent.pixels.Pixels` does.

    Parameters
    ----------
    shape : (side, side, channels)
    dtype : dtype
        uint8 or uint16, which stays.
    size : int
        Of a side; divides the first.
    luminance : (3,) float32 array or None
        Weights of the channels where colour becomes grey.
    """
    side, _, channels = shape
    kind, factor = np.dtype(dtype), side // size
    to = 2 if kind == np.uint8 else 4
    lines, weights, last, left = ["v0 = Cast<to=1>(pixels)"], {}, "v0", channels
    if luminance is not None:
        lines += ["grey = MatMul(v0, luminance)", "v1 = Round(grey)"]
        weights["luminance"], last, left = luminance[:, None], "v1", 1
    if factor > 1:
        weights["cells"] = np.array([-1, size, factor, size, factor, left], np.int64)
        weights["axes"] = np.array([2, 4], np.int64)
        weights["count"] = np.array(factor * factor, np.float32)
        lines += [f"cut = Reshape({last}, cells)", "sums = ReduceSum<keepdims=0>(cut, axes)"]
        lines += ["means = Div(sums, count)", "v2 = Round(means)"]
        last = "v2"
    lines.append(f"rows = Cast<to={to}>({last})")
    body = "\n".join(lines)
    return graph_of(
        f"reduced ({kind}[n,{side},{side},{channels}] pixels) => ({kind}[n,{size},{size},{left}] rows) "
        f"{{ {body} }}",
        **weights,
    )


def joined(pieces: Sequence[ModelProto], keep: Sequence[str] = (), result: str = "score") -> ModelProto:
    """Join graphs to one, from ``pixels`` (the first one's input) to the last one's first output.

    Parameters
    ----------
    pieces : sequence of ModelProto
        Each with one input.
    keep : sequence of str
        Further outputs that stay, by the name that they have in their piece.
    result : str
        What the last one's first output is called.

    Raises
    ------
    RaresightError
        If operators of different versions, or of an unknown kind, cannot stand in one graph.
    """
    try:
        whole = compose.add_prefix(aligned(pieces[0]), "g0_")
        kept, last = _kept(pieces[0], keep, 0), f"g0_{pieces[0].graph.output[0].name}"
        for number, piece in enumerate(pieces[1:], 1):
            part = compose.add_prefix(aligned(piece), f"g{number}_")
            kept |= _kept(piece, keep, number)
            source, last = last, part.graph.output[0].name
            link = [(source, part.graph.input[0].name)]
            whole = compose.merge_models(whole, part, io_map=link, outputs=list({last: None, **kept}))
        outputs = sorted(whole.graph.output, key=lambda out: bool(out.name != last))
        del whole.graph.output[:]
        whole.graph.output.extend(outputs)
        found = renamed(whole, {whole.graph.input[0].name: "pixels", last: result, **kept})
        checker.check_model(found)
    except (ValueError, RuntimeError, TypeError, checker.ValidationError) as error:
        raise RaresightError(f"these graphs cannot be joined ({type(error).__name__})") from error
    return found


def _kept(piece: ModelProto, keep: Sequence[str], number: int) -> dict[str, str]:
    return {f"g{number}_{out.name}": out.name for out in piece.graph.output if out.name in keep}


def aligned(model: ModelProto) -> ModelProto:
    """Bring a graph to `OPSET` and `IR_VERSION`."""
    versions = {each.domain: each.version for each in model.opset_import}
    own = versions.get("", OPSET)
    if own == OPSET:
        found = ModelProto()
        found.CopyFrom(model)
    elif OLDEST_ALIKE <= own < OPSET:
        found = _relabelled(model)
    else:
        found = version_converter.convert_version(model, OPSET)
    found.ir_version = IR_VERSION
    # Shapes in between name a free dimension n that is another one, where an image becomes several views.
    del found.graph.value_info[:]
    return found


def _relabelled(model: ModelProto) -> ModelProto:
    found = ModelProto()
    found.CopyFrom(model)
    for holder in (found, *found.functions):
        for each in holder.opset_import:
            if each.domain == "":
                each.version = OPSET
    for nodes in (found.graph.node, *(function.node for function in found.functions)):
        for node in nodes:
            if node.op_type == "GridSample":
                for attribute in node.attribute:
                    if attribute.name == "mode":
                        attribute.s = {b"bilinear": b"linear", b"bicubic": b"cubic"}.get(
                            attribute.s, attribute.s
                        )
    return found


def renamed(model: ModelProto, names: Mapping[str, str]) -> ModelProto:
    """Give inputs, outputs and what refers to them new names."""
    graph = model.graph
    for value in (*graph.input, *graph.output):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    return model
