"""Backbones as torch modules, by name: from planes of 0 … 1 to pooled features."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor, nn

from raresight.errors import MissingExtraError, OptionError, RaresightError
from raresight.networks.lite0 import LITE0_WIDTH, Lite0

MONAI = {
    "resnet18": 512,
    "resnet34": 512,
    "resnet50": 2048,
    "densenet121": 1024,
    "densenet169": 1664,
    **{f"efficientnet-b{size}": 0 for size in range(8)},
}
"""MONAI's networks for images, and the features that each gives; an EfficientNet says so itself."""

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


class Backbone(nn.Module):
    """A network from planes to pooled features.

    Parameters
    ----------
    network : torch.nn.Module
        (n, 3, h, w) normalised planes → (n, width).
    width : int
        Features an image gets.
    mean, std : sequence of three floats
        What planes of 0 … 1 are normalised by.
    pretrained : bool
        Whether its weights were learned from anything.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, network: nn.Module, width: int, mean: Sequence[float], std: Sequence[float], pretrained: bool
    ) -> None:
        super().__init__()
        self.network, self.width, self.pretrained = network, width, pretrained
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1))

    def forward(self, planes: Tensor) -> Tensor:
        """(n, 1 or 3, h, w) planes of 0 … 1 → (n, width)."""
        if planes.shape[1] == 1:
            planes = planes.expand(-1, 3, -1, -1)
        return cast(Tensor, self.network((planes - self.mean) / self.std)).flatten(1)


class Lite0Planes(nn.Module):
    """lite0 from normalised planes on, without the parts that turn pixels into them."""

    def __init__(self) -> None:
        super().__init__()
        self.lite0 = Lite0()

    def forward(self, planes: Tensor) -> Tensor:
        """(n, 3, h, w) → (n, 1280)."""
        return self.lite0.tail(self.lite0.trunk(planes, 0), 0)


def make_backbone(name: str) -> Backbone:
    """Build a backbone whose weights can be trained further; nothing is downloaded.

    Parameters
    ----------
    name : str
        ``"lite0"``; ``"monai:resnet18"`` and the like, whose weights are random; ``"timm:NAME"`` and
        ``"hf:REPO"`` (timm's models on the Hugging Face Hub), whose weights must be in the local cache.

    Raises
    ------
    OptionError
        If there is no backbone of that name, or it cannot be trained.
    MissingExtraError
        If it needs the extra ``hub``.
    RaresightError
        If its weights are not in the local cache.
    """
    kind, _, rest = name.partition(":")
    if name == "lite0":
        return Backbone(Lite0Planes(), LITE0_WIDTH, [127 / 255] * 3, [128 / 255] * 3, pretrained=True)
    if kind == "monai" and rest:
        return _monai(rest)
    if kind in ("timm", "hf") and rest:
        return _timm(name, rest if kind == "timm" else f"hf-hub:{rest}")
    if kind == "onnx":
        raise OptionError(f"{name} is a frozen graph that cannot be trained further; write stages=0")
    raise OptionError(f"unknown backbone {name!r}; there are: lite0, monai:NAME, timm:NAME, hf:REPO")


def _monai(name: str) -> Backbone:
    from monai.networks import nets

    if name not in MONAI:
        raise OptionError(f"unknown backbone 'monai:{name}'; MONAI has: {', '.join(MONAI)}")
    network: Any
    width = MONAI[name]
    if name.startswith("resnet"):
        network = getattr(nets, name)(spatial_dims=2, n_input_channels=3, feed_forward=False)
    elif name.startswith("densenet"):
        network = getattr(nets, f"DenseNet{name[8:]}")(spatial_dims=2, in_channels=3, out_channels=1)
        network.class_layers.out = nn.Identity()
    else:
        network = nets.EfficientNetBN(name, pretrained=False, spatial_dims=2, in_channels=3)
        width = network._fc.in_features
        network._fc = nn.Identity()
    return Backbone(network, width, [0.5] * 3, [0.25] * 3, pretrained=False)


def _timm(name: str, model: str) -> Backbone:
    try:
        import timm
    except ImportError as error:
        raise MissingExtraError(f"the backbone {name} needs: pip install 'raresight[hub]'") from error
    with offline():
        try:
            network = timm.create_model(model, pretrained=True, num_classes=0)
        except Exception as error:  # timm and the hub raise a dozen kinds
            known = model.startswith("hf-hub:") or timm.is_model(model.split(".")[0])
            if not known:
                raise OptionError(f"timm has no model {model!r}; timm.list_models() names them") from error
            raise RaresightError(
                f"the weights of {name} are not in the local cache and nothing is downloaded here; "
                f"fetch them once where there is a network: "
                f"python -c \"import timm; timm.create_model('{model}', pretrained=True)\""
            ) from error
    data = network.pretrained_cfg
    return Backbone(network, int(network.num_features), data["mean"], data["std"], pretrained=True)


@contextmanager
def offline() -> Iterator[None]:
    """Keep the Hugging Face Hub's client from the network within the block."""
    before = {name: os.environ.get(name) for name in OFFLINE}
    os.environ.update(dict.fromkeys(OFFLINE, "1"))
    # The client reads its variable once, when it is imported.
    hub = importlib.util.find_spec("huggingface_hub")
    client: Any = importlib.import_module("huggingface_hub.constants") if hub else SimpleNamespace()
    was = getattr(client, "HF_HUB_OFFLINE", False)
    client.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        client.HF_HUB_OFFLINE = was
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class FrozenNorm(nn.Module):
    """A network in which batch normalisation keeps its running statistics while all else is trained.

    On a few hundred images, batches of sixteen have statistics far from those that the weights were learned
    with.

    Parameters
    ----------
    network : torch.nn.Module
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def train(self, mode: bool = True) -> FrozenNorm:
        """Set the mode of everything but batch normalisation."""
        super().train(mode)
        for module in self.network.modules():
            if isinstance(module, NORMS):
                module.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Run the network."""
        return cast(Tensor, self.network(x))


class FromPixels(nn.Module):
    """A network on planes of 0 … 1, fed with pixels of 0 … 255 whose channels come last.

    Parameters
    ----------
    network : torch.nn.Module
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, h, w, 3) float32 pixels → what the network gives for (n, 3, h, w) planes."""
        return cast(Tensor, self.network((pixels / 255.0).permute(0, 3, 1, 2)))
