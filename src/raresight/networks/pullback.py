"""Gradients written out as ordinary layers, so that a search by gradient steps can be exported as a graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from raresight.networks.wgan import Beside

Pullback = Callable[[Tensor], Tensor]
"""From the gradient of a number by a network's output to that by its input."""


def with_pullback(layers: nn.Sequential, x: Tensor) -> tuple[Tensor, Pullback]:
    """Run layers, and give what turns the gradient by their output into that by their input.

    The export of PyTorch has no operators for the gradient of a convolution, but that gradient is itself a
    transposed convolution, and the other way round. Batch normalisation is taken as in evaluation mode.

    Parameters
    ----------
    layers : torch.nn.Sequential
        Of the layers that `raresight.networks.wgan` uses.
    x : Tensor

    Returns
    -------
    output : Tensor
    pullback : callable

    Raises
    ------
    TypeError
        If a layer's gradient is not written here.
    """
    pullbacks: list[Pullback] = []
    for layer in layers:
        if isinstance(layer, Beside):
            one, by_one = with_pullback(layer.first, x)
            other, by_other = with_pullback(layer.second, x)
            pullbacks.append(_sum(by_one, by_other))
            x = one + other
            continue
        y = layer(x)
        pullbacks.append(_pullback(layer, x, y))
        x = y

    def back(gradient: Tensor) -> Tensor:
        for step in reversed(pullbacks):
            gradient = step(gradient)
        return gradient

    return x, back


def _sum(first: Pullback, second: Pullback) -> Pullback:
    return lambda g: first(g) + second(g)


def _pullback(layer: nn.Module, x: Tensor, y: Tensor) -> Pullback:
    match layer:
        case nn.Linear():
            return lambda g: g @ layer.weight
        case nn.ConvTranspose2d():
            return lambda g: nnf.conv2d(
                g, layer.weight, None, layer.stride, cast(tuple[int, int], layer.padding)
            )
        case nn.Conv2d():
            return lambda g: nnf.conv_transpose2d(
                g, layer.weight, None, layer.stride, cast(tuple[int, int], layer.padding)
            )
        case nn.BatchNorm2d():
            scale = layer.weight / torch.sqrt(cast(Tensor, layer.running_var) + layer.eps)
            return lambda g: g * scale.view(1, -1, 1, 1)
        case nn.ReLU():
            return lambda g: g * (x > 0)
        case nn.LeakyReLU():
            return lambda g: torch.where(x > 0, g, g * layer.negative_slope)
        case nn.Tanh():
            return lambda g: g * (1 - y * y)
        case nn.Unflatten() | nn.Flatten():
            return lambda g: g.reshape(-1, *x.shape[1:])
    raise TypeError(f"the gradient of {type(layer).__name__} is not written out")
