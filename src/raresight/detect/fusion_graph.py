"""Fusion as a torch module, for ONNX graphs: NaN in, scores out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from raresight.detect.export import Flat


class FusionGraph(nn.Module):
    """The sum of what blocks of features add to the log odds.

    Parameters
    ----------
    members : sequence
        The fitted blocks of a `raresight.detect.fusion.Fusion`.
    intercept : float
    dtype : dtype
        Of the rows.
    """

    def __init__(self, members: Sequence[Any], intercept: float, dtype: Any) -> None:
        super().__init__()
        self.flat = Flat(dtype)
        self.parts = nn.ModuleList(_Part(member) for member in members)
        self.intercept = intercept

    def forward(self, x: Tensor) -> Tensor:
        """(n, features), NaN where missing → (n,)."""
        flat = self.flat(x)
        total: Tensor = torch.stack([part(flat) for part in self.parts]).sum(dim=0) + self.intercept
        return total


class _Part(nn.Module):
    """One block: fill in, mark, score, weigh; or what is added where it is missing."""

    mean: Tensor
    gaps: Tensor

    def __init__(self, member: Any) -> None:
        super().__init__()
        self.member = member
        self.scorer = member.detector.scorer()
        self.register_buffer("mean", torch.from_numpy(member.mean))
        self.register_buffer("gaps", torch.from_numpy(member.gaps))
        self.lacked = [part for part in member.lacked if not part.table]

    def forward(self, x: Tensor) -> Tensor:
        block = self.member.block
        empty = _empty(x, block)
        filled = torch.where(empty, self.mean, x[:, block.start : block.stop])
        features = [filled]
        if len(self.member.gaps):
            features.append(empty.float()[:, self.gaps])
        features += [_missing(x, part)[:, None] for part in self.lacked]
        score = self.scorer(torch.cat(features, dim=1))
        added = self.member.weight * (score - self.member.centre)
        if self.member.always:
            return torch.as_tensor(added)
        gone = _missing(x, block)
        result: Tensor = torch.where(gone > 0.5, torch.full_like(added, self.member.without), added)
        return result


def _empty(x: Tensor, block: Any) -> Tensor:
    return torch.isnan(x[:, block.start : block.stop])


def _missing(x: Tensor, block: Any) -> Tensor:
    """Tell which rows lack a block: (n,) float, 0 or 1."""
    return _empty(x, block).float().amin(dim=1)
