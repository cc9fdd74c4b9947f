"""Linear and kernel detectors as torch modules, for ONNX graphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from raresight.detect.export import Flat

Array = NDArray[Any]


class Linear(nn.Module):
    """A weighted sum of features, and a constant.

    Parameters
    ----------
    coefficients : (features,) array
    intercept : float
    dtype : dtype
        Of the rows.
    """

    coefficients: Tensor

    def __init__(self, coefficients: Array, intercept: float, dtype: Any) -> None:
        super().__init__()
        self.flat = Flat(dtype)
        self.register_buffer("coefficients", torch.from_numpy(np.asarray(coefficients, np.float32)))
        self.intercept = intercept

    def forward(self, x: Tensor) -> Tensor:
        """(n, …) → (n,)."""
        found: Tensor = self.flat(x) @ self.coefficients + self.intercept
        return found


class KernelExpansion(nn.Module):
    """A weighted sum of Gaussian kernels about support vectors, and a constant.

    Squared distances are summed about the vectors' mean: in float32 they would else cancel out.

    Parameters
    ----------
    vectors : (m, features) array
    weights : (m,) array
    intercept : float
    gamma : float
        The kernel is exp(−gamma · squared distance).
    dtype : dtype
        Of the rows.
    """

    centre: Tensor
    vectors: Tensor
    norms: Tensor
    weights: Tensor

    def __init__(self, vectors: Array, weights: Array, intercept: float, gamma: float, dtype: Any) -> None:
        super().__init__()
        self.flat = Flat(dtype)
        centre = np.asarray(vectors, np.float64).mean(axis=0)
        apart = np.asarray(vectors, np.float64) - centre
        for name, values in (
            ("centre", centre),
            ("vectors", apart),
            ("norms", (apart**2).sum(axis=1)),
            ("weights", weights),
        ):
            self.register_buffer(name, torch.from_numpy(np.asarray(values, np.float32)))
        self.intercept, self.gamma = intercept, float(gamma)

    def forward(self, x: Tensor) -> Tensor:
        """(n, …) → (n,)."""
        apart = self.flat(x) - self.centre
        squared = apart.square().sum(dim=1, keepdim=True) + self.norms - 2 * apart @ self.vectors.T
        found: Tensor = torch.exp(-self.gamma * squared.clamp_min(0)) @ self.weights + self.intercept
        return found


class Columns(nn.Module):
    """One score a class, side by side.

    Parameters
    ----------
    scorers : sequence of torch.nn.Module
        Each from (n, …) to (n,).
    """

    def __init__(self, scorers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.scorers = nn.ModuleList(scorers)

    def forward(self, x: Tensor) -> Tensor:
        """(n, …) → (n, classes)."""
        return torch.stack([scorer(x) for scorer in self.scorers], dim=1)
