"""From a fitted detector to an ONNX graph of its scoring path."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[Any]

OPSET = 18


def export_module(module: nn.Module, path: Path, example: Array) -> None:
    """Write a torch module from rows ``x`` to ``score`` as an ONNX graph whose number of rows is free.

    Parameters
    ----------
    module : torch.nn.Module
        From (n, …) to (n,) or (n, classes).
    path : Path
    example : (2 or more, …) array
        uint8, uint16, float16 or float32; float64 becomes float32.
    """
    rows = torch.from_numpy(np.ascontiguousarray(as_input(example[:2])))
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch's exporter warns about itself
        torch.onnx.export(
            module.eval(),
            (rows,),
            str(path),
            input_names=["x"],
            output_names=["score"],
            dynamic_shapes=({0: torch.export.Dim("n", min=1)},),
            opset_version=OPSET,
            external_data=False,
            optimize=False,
            verbose=False,
        )


def as_input(rows: Array) -> Array:
    """Give rows in the dtype that a graph takes: float64 becomes float32."""
    return rows.astype(np.float32) if rows.dtype == np.float64 else rows


class Flat(nn.Module):
    """What `raresight.detect.base.flatten` does to rows, as part of a graph.

    Parameters
    ----------
    dtype : dtype
        Of the rows; integers are scaled to 0 … 1.
    """

    def __init__(self, dtype: Any) -> None:
        super().__init__()
        kind = np.dtype(dtype)
        self.full = float(np.iinfo(kind).max) if kind.kind in "ui" else 1.0

    def forward(self, x: Tensor) -> Tensor:
        """(n, …) → (n, features) float32."""
        return x.flatten(1).float() / self.full


class Difference(nn.Module):
    """The log odds of two classes: the second logit less the first.

    Parameters
    ----------
    network : torch.nn.Module
        Gives (n, 2) logits.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """(n, …) → (n,)."""
        logits = self.network(x)
        difference: Tensor = logits[:, 1] - logits[:, 0]
        return difference
