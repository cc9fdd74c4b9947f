"""Networks as chains of layers, so that they can be cut where their maps are fine enough to point.

A gradient can only be told place by place where a network still has places. lite0 pools 7 × 7 of them and
forgets half of where things were on the way there; at 14 × 14 it has not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import torch
from monai.networks.nets import ResNet
from torch import Tensor, nn

from raresight.networks.backbones import Backbone, FrozenNorm, Lite0Planes
from raresight.networks.lite0 import LITE0_BLOCKS, Lite0, Lite0Tail
from raresight.networks.transformers import SwinClassifier, VisionTransformer


class Call(nn.Module):
    """A function as a layer.

    Parameters
    ----------
    function : callable
        Tensor → tensor.
    owner : torch.nn.Module, optional
        Whose layers the function uses.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], owner: nn.Module | None = None) -> None:
        super().__init__()
        self.function = function
        self.owner = owner

    def forward(self, x: Tensor) -> Tensor:
        """Run the function."""
        return self.function(x)


class LogOdds(nn.Module):
    """(n, 2) logits or (n,) scores → (n, 1) scores, higher = more anomalous."""

    def forward(self, x: Tensor) -> Tensor:
        """Subtract the first logit from the second."""
        return x.reshape(-1, 1) if x.ndim == 1 or x.shape[1] == 1 else x[:, 1:2] - x[:, :1]


def chain_of(network: nn.Module) -> nn.Sequential:
    """Take a network apart into layers that follow each other; the network itself is left as it is.

    Parameters
    ----------
    network : torch.nn.Module
        From planes or maps (n, c, h, w) to (n, 2) logits or (n,) scores. What is not known stays whole.

    Returns
    -------
    torch.nn.Sequential
        The same function, in evaluation mode, ending in `LogOdds`; its first layer changes nothing.
    """
    layers = [nn.Identity(), *_layers(deepcopy(network)), LogOdds()]
    # MONAI's Grad-CAM takes views of gradients, which channels-last memory does not allow.
    return nn.Sequential(*layers).to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload,no-any-return]


def _layers(network: Any) -> Iterator[nn.Module]:
    if isinstance(network, nn.Sequential):
        for layer in network:
            yield from _layers(layer)
    elif isinstance(network, ResNet):
        yield from (network.conv1, network.bn1, network.act, network.maxpool)
        yield from (network.layer1, network.layer2, network.layer3, network.layer4)
        yield from (network.avgpool, nn.Flatten(1))
    elif isinstance(network, VisionTransformer):
        yield from _layers(network.stem)
        yield Call(lambda x: network.head(network.transformer(x)[0].mean(dim=1)), network)
    elif isinstance(network, SwinClassifier):
        yield network.embed
        yield from network.stages
        yield Call(lambda x: network.head(network.norm(x.flatten(2).transpose(1, 2)).mean(dim=1)), network)
    elif isinstance(network, FrozenNorm):
        yield from _layers(network.network)
    elif isinstance(network, Backbone) and isinstance(network.network, Lite0Planes):
        yield Call(lambda x: (x.expand(-1, 3, -1, -1) - network.mean) / network.std, network)
        yield from lite0_layers(network.network.lite0, 0)
    elif isinstance(network, Lite0Tail):
        yield from lite0_layers(network.lite0, None)
    else:
        yield network


def lite0_layers(lite0: Lite0, first: int | None, last: int = LITE0_BLOCKS + 1) -> Iterator[nn.Module]:
    """Give lite0's layers from one block up to another.

    Parameters
    ----------
    lite0 : Lite0
    first : int or None
        The block to begin with; 0: the stem, which takes normalised planes. None: `lite0` has lost its stem
        and first blocks already.
    last : int
        The block before which to end; beyond the blocks come the last convolution and the mean over places.
    """
    network = lite0.network
    if first == 0:
        yield nn.Sequential(network._conv_stem, network._bn0, network._swish)
    yield from network._blocks[first or 0 : min(last, LITE0_BLOCKS)]
    if last > LITE0_BLOCKS:
        yield nn.Sequential(network._conv_head, network._bn1, network._swish)
        yield Call(lambda x: x.mean(dim=(2, 3)))


def cut_after(chain: nn.Sequential, example: Tensor, least: int) -> int:
    """Find how many layers to run so that the maps have at least so many places a side, and no finer.

    Parameters
    ----------
    chain : torch.nn.Sequential
    example : (1, c, h, w) tensor
    least : int

    Returns
    -------
    int
        At least 1: where the input itself is coarser, it is the input.
    """
    cut, x = 1, example
    with torch.inference_mode():
        for number, layer in enumerate(chain, 1):
            x = layer(x)
            if x.ndim == 4 and min(x.shape[2:]) >= least:
                cut = number
    return cut
