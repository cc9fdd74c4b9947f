"""Last layers: from pooled features to one logit a class."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn


class SoftmaxHead(nn.Module):
    """A linear layer that begins at zero and learns faster than the network below it.

    Its output is multiplied by a constant, which under Adam, whose steps do not depend on the gradient's
    size, is a learning rate as many times as high (Karras et al. 2018, section 4.1).

    Parameters
    ----------
    width : int
        Pooled features.
    classes : int
    dropout : float
        Share of the features dropped in training, 0 to below 1.
    gain : float
        How many times as fast it learns.
    """

    def __init__(self, width: int, classes: int, dropout: float = 0.2, gain: float = 10.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(width, classes)
        self.gain = gain
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        """(n, width) → (n, classes) logits."""
        return cast(Tensor, self.linear(self.dropout(features))) * self.gain


class OrdinalHead(nn.Module):
    """Logits of ordered classes from one severity and a threshold between each two neighbours.

    The log odds of a class against the one below it are the severity less their threshold (adjacent
    categories), so that where thresholds are in order the likeliest class is the number of those that the
    severity exceeds. Source: Agresti, "Analysis of ordinal categorical data", 2nd ed. 2010, chapter 4.

    Parameters
    ----------
    width, classes, dropout, gain
        See `SoftmaxHead`.
    """

    def __init__(self, width: int, classes: int, dropout: float = 0.2, gain: float = 10.0) -> None:
        super().__init__()
        self.severity = SoftmaxHead(width, 1, dropout, gain)
        self.thresholds = nn.Parameter((torch.arange(classes - 1.0) - (classes - 2) / 2) / gain)
        self.gain = gain
        self.register_buffer("number", torch.arange(float(classes)))

    def forward(self, features: Tensor) -> Tensor:
        """(n, width) → (n, classes) logits."""
        number = cast(Tensor, self.number)
        below = torch.cat([torch.zeros_like(self.thresholds[:1]), torch.cumsum(self.thresholds, 0)])
        return cast(Tensor, self.severity(features) * number - self.gain * below)


HEADS = {"softmax": SoftmaxHead, "ordinal": OrdinalHead}
"""What `transfer[head=…]` offers."""
