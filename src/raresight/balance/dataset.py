"""A balanced training set for torch, whose synthetic rows are made when they are fetched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from raresight.balance.plan import SynthesisPlan

Array = NDArray[Any]


class PlannedDataset(Dataset[Any]):
    """``X[keep]``, then the synthetic rows.

    Parameters
    ----------
    plan : SynthesisPlan
    X : (n, ...) array
        The training rows; memory-mapped ones stay on disk.
    transform : callable, optional
        From a row to what the network sees; by default a tensor of the row.
    y : (n,) array, optional
        The training rows' classes; with them, items are (row, label).
    """

    def __init__(
        self,
        plan: SynthesisPlan,
        X: Array,
        transform: Callable[[Array], Any] | None = None,
        y: Array | None = None,
    ) -> None:
        self.rows = plan.view(X)
        self.transform: Callable[[Array], Any] = torch.as_tensor if transform is None else transform
        self.labels = None if y is None else plan.labels(np.asarray(y))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        row = self.transform(self.rows[index])
        return row if self.labels is None else (row, self.labels[index])
