"""Transfer learning: a pretrained network with a new head, frozen or in part or wholly trained further."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from raresight.detect.network import NetworkClassifier, image_shape
from raresight.errors import DataError, OptionError
from raresight.images.augment import Augmentation, find_augmentation, mirror_views
from raresight.networks.backbones import FrozenNorm, make_backbone
from raresight.networks.heads import HEADS
from raresight.networks.lite0 import LITE0_WIDTH, Lite0Tail
from raresight.networks.pixels import ImageNetwork, Pixels
from raresight.networks.rows import ImageArray, ImageRows, blocks
from raresight.networks.training import Loss
from raresight.networks.views import CellLosses, Features, Maps, RandomViews, ViewNetwork
from raresight.represent.backbones import check_backbone
from raresight.represent.trunk import FIRST_BLOCK

TRUNK_MAPS = {1: (7, 7, 192), 2: (14, 14, 112), 3: (14, 14, 80), 4: (28, 28, 40)}
"""Stages that are trained → what the frozen trunk gives for a view of an image."""


class Transfer(NetworkClassifier):
    """A pretrained network with a new head, further trained on few images.

    With ``stages`` from 1 to 4 the last stages of lite0 are trained, on what the frozen ones made of a few
    fixed views of each image: computed once, kept beside the images, a random view each epoch. Batch
    normalisation keeps the statistics of ImageNet. Source: Yosinski, Clune, Bengio & Lipson, "How
    transferable are features in deep neural networks?", NeurIPS 2014; Tan & Le, "EfficientNet", ICML 2019.

    With few images it overfits soon: on a fold of brain_tumor_yesno fifteen epochs to the end gave AUROC
    .876, ten that stop after three without a better validation loss .944. Hence the defaults.

    Parameters
    ----------
    backbone : str
        ``"lite0"``, embedded; ``"monai:resnet18"`` and the like, with random weights, so only for
        ``stages="all"``; ``"timm:NAME"``, ``"hf:REPO"``; ``"onnx:FILE"`` for ``stages=0``.
    stages : {0, 1, 2, 3, 4, "all"}
        0: only the head is trained, on the frozen embedding; 1 to 4: so many last stages of lite0 too;
        ``"all"``: the whole network, from pixels that are augmented anew each epoch.
    head : {"softmax", "ordinal"}
        ``"ordinal"`` for classes that are grades of one severity, in order.
    pixels : int
        With ``stages="all"``, the side to which larger images are resized within the network.
    dropout : float
        Share of the pooled features dropped in training, 0 to below 1.
    head_rate : float
        How many times as fast as the rest the head learns.
    scored_views : int, optional
        How many of the trunk's views a score is the mean over; by default those that mirror the image.
    members, loss, epochs, patience, batch_size, learning_rate, weight_decay, augmentation, \
validation_fraction, device, random_state
        See `raresight.detect.network.NetworkClassifier`.
    """

    def __init__(
        self,
        *,
        backbone: str = "lite0",
        stages: Any = 3,
        head: str = "softmax",
        pixels: int = 160,
        dropout: float = 0.2,
        head_rate: float = 10.0,
        scored_views: int | None = None,
        members: int = 1,
        loss: Loss | None = None,
        epochs: int = 10,
        patience: int = 3,
        batch_size: int = 16,
        learning_rate: float = 2e-4,
        weight_decay: float = 0.05,
        augmentation: str | Augmentation = "default",
        validation_fraction: float = 0.15,
        device: str = "auto",
        random_state: int = 0,
    ) -> None:
        self.backbone = backbone
        self.stages = stages
        self.head = head
        self.pixels = pixels
        self.dropout = dropout
        self.head_rate = head_rate
        self.scored_views = scored_views
        self.members = members
        self.loss = loss
        self.epochs = epochs
        self.patience = patience
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.augmentation = augmentation
        self.validation_fraction = validation_fraction
        self.device = device
        self.random_state = random_state

    @property
    def sees(self) -> str:  # type: ignore[override]
        """What suits the stages that are trained: an embedding, a trunk's maps or pixels."""
        self._check_options()
        if self.stages == "all":
            return "pixels[size=224]"
        if self.stages:
            return f"trunk[stages={self.stages}]"
        return "embedding" if self.backbone == "lite0" else f"embedding[backbone={self.backbone}]"

    @property
    def takes(self) -> tuple[str, ...]:  # type: ignore[override]
        """The one representation that the stages allow."""
        return (self.sees.partition("[")[0],)

    @property
    def views_(self) -> int | None:
        """How many of the trunk's views a score is the mean over; None where it sees no trunk."""
        return getattr(self.network_, "views", None)

    def mapper(self) -> nn.Module | None:
        """Give what the score loses without each cell of the last maps; None where all is trained."""
        network: Any = self.network_
        if self.views_ is None or len(self.classes_) != 2:
            return None
        members = list(network.body.members)
        tails, heads = [member[0].network for member in members], [member[1] for member in members]
        return CellLosses(network.pixels, tails, heads)

    def _check_options(self) -> None:
        check_backbone(self.backbone)
        if self.stages not in (0, *FIRST_BLOCK, "all"):
            raise OptionError(f"transfer[stages={self.stages}] is unknown; choose 0, 1, 2, 3, 4 or all")
        if self.head not in HEADS:
            raise OptionError(f"unknown transfer[head={self.head}]; choose {' or '.join(HEADS)}")
        if self.stages in FIRST_BLOCK and self.backbone != "lite0":
            raise OptionError(
                f"the stages of {self.backbone} are not known one by one; write stages=0 or stages=all"
            )
        if self.backbone.startswith("monai:") and self.stages != "all":
            raise OptionError(f"{self.backbone} comes without weights, so all of it is trained: stages=all")

    def _check_rows(self, X: ImageArray) -> None:
        self._check_options()
        if self.stages == "all":
            image_shape(X)
            return
        wanted = ("images", "views", *TRUNK_MAPS[self.stages]) if self.stages else ("images", "features")
        shape = tuple(X.shape)
        if len(shape) != len(wanted) or (self.stages and shape[2:] != wanted[2:]):
            raise DataError(f"transfer[stages={self.stages}] sees {self.sees} of shape {wanted}, not {shape}")

    def _augmentation(self) -> Augmentation:
        found = find_augmentation(self.augmentation)
        return found if self.stages == "all" else Augmentation()

    def _shown(self, train: ImageRows, seed: int) -> ImageRows:
        if self.stages in FIRST_BLOCK:
            return RandomViews(train.images, train.target.numpy(), train.weight.numpy(), seed)
        return train

    def _maker(self, images: ImageArray) -> Callable[[int], ImageNetwork]:
        if self.stages == "all":
            return self._whole_network(images)
        if self.stages:
            first = mirror_views(find_augmentation(self.augmentation))
            views = min(self.scored_views or first, images.shape[1])
            start = FIRST_BLOCK[self.stages]

            def tail(classes: int) -> ImageNetwork:
                body = FrozenNorm(Lite0Tail(start))
                return ViewNetwork(Maps(), nn.Sequential(body, self._head(LITE0_WIDTH, classes)), views)

            return tail
        mean, std = feature_statistics(images, getattr(images, "n_real", len(images)))

        def linear(classes: int) -> ImageNetwork:
            head = self._head(images.shape[1], classes)
            return ImageNetwork(Features(), nn.Sequential(Standardise(mean, std), head))  # type: ignore[arg-type]

        return linear

    def _whole_network(self, images: ImageArray) -> Callable[[int], ImageNetwork]:
        height, width, _ = image_shape(images)
        if min(height, width) < self.least_side:
            raise DataError(
                f"images of {height} × {width} leave nothing to see; "
                f"the smaller side must keep at least {self.least_side}"
            )

        def make(classes: int) -> ImageNetwork:
            backbone = make_backbone(self.backbone)
            features = FrozenNorm(backbone) if backbone.pretrained else backbone
            head = self._head(backbone.width, classes)
            return ImageNetwork(Pixels(images.dtype), nn.Sequential(Smaller(self.pixels), features, head))

        return make

    def _head(self, width: int, classes: int) -> nn.Module:
        return HEADS[self.head](width, classes, self.dropout, self.head_rate)

    @staticmethod
    def search_space(trial: Any) -> dict[str, Any]:
        """Draw settings from the detector's search space.

        Parameters
        ----------
        trial : optuna.Trial

        Returns
        -------
        dict
            For `set_params`.
        """
        return {
            "learning_rate": trial.suggest_float("learning_rate", 5e-5, 5e-4, log=True),
            "weight_decay": trial.suggest_float("weight_decay", 1e-3, 0.3, log=True),
            "dropout": trial.suggest_float("dropout", 0.0, 0.5),
        }


class Smaller(nn.Module):
    """Resize planes that are larger than a side, bilinearly.

    Parameters
    ----------
    side : int
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, planes: Tensor) -> Tensor:
        """(n, channels, h, w) → (n, channels, side, side), or unchanged where they are no larger."""
        if min(planes.shape[2:]) <= self.side:
            return planes
        return interpolate(planes, size=(self.side, self.side), mode="bilinear", align_corners=False)


class Standardise(nn.Module):
    """Centre and scale each feature by fixed numbers.

    Parameters
    ----------
    mean, std : (features,) float32 tensors
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, rows: Tensor) -> Tensor:
        """(n, features) → the same shape."""
        return (rows - self.mean) / self.std


def feature_statistics(rows: ImageArray, count: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each feature, (features,), over the first `count` rows."""
    values = np.concatenate([np.asarray(rows[block], np.float64) for block in blocks(count, 1024)])
    std = values.std(axis=0)
    std[std < 1e-6] = 1.0
    return torch.from_numpy(values.mean(axis=0)).float(), torch.from_numpy(std).float()
