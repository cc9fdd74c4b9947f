"""Small vision transformers, trained from scratch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from numpy.typing import ArrayLike
from torch import nn

from raresight.detect.network import NetworkClassifier, image_shape
from raresight.errors import DataError, OptionError
from raresight.images.augment import Augmentation
from raresight.networks.rows import ImageArray
from raresight.networks.training import Loss
from raresight.networks.transformers import (
    SwinClassifier,
    VisionTransformer,
    check_heads,
    check_patches,
    check_stem,
)


class TransformerClassifier(NetworkClassifier):
    """Base of the transformers: images must be square and whole patches must fill them."""

    least_side = 1

    def fit(
        self,
        X: ImageArray,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        validation: tuple[ImageArray, ArrayLike] | None = None,
    ) -> Self:
        """Train, see `raresight.detect.network.NetworkClassifier.fit`.

        Raises
        ------
        DataError
            If images are not square, or smaller than a patch.
        OptionError
            If patches do not divide them, or heads the width.
        """
        height, width, _ = image_shape(X)
        if height != width:
            raise DataError(f"a vision transformer takes square images, not {height} × {width}")
        return super().fit(X, y, groups, sample_weight, validation)


class ViT(TransformerClassifier):
    """MONAI's vision transformer with a convolutional stem, its tokens averaged.

    From scratch on a few hundred images it falls far short of the .95 that a supervised detector should
    reach on ``phantom:brain?n=600&anomalies=0.3&difficulty=0.5``: on one of five grouped folds the AUROC was
    .54 (60 epochs, width 96, depth 4, a stem of half as many convolutions, 111 s) and .53 (30 epochs, width
    64, depth 3, learning rate 2e-3, 43 s); not even the training loss fell. Both had patches of 16.

    Source: Dosovitskiy et al., "An image is worth 16x16 words: transformers for image recognition at scale",
    ICLR 2021; the stem: Xiao et al., "Early convolutions help transformers see better", NeurIPS 2021.

    Parameters
    ----------
    pixels, members, loss, epochs, patience, batch_size, learning_rate, weight_decay, augmentation, \
validation_fraction, device, random_state
        See `raresight.detect.network.NetworkClassifier`.
    patch : int
        Pixels a side of what one token stands for; must divide the images, and with the stem be a power of 2.
    width, depth, heads, mlp_ratio, dropout, stem
        See `raresight.networks.transformers.VisionTransformer`.
    """

    def __init__(
        self,
        *,
        pixels: int = 112,
        patch: int = 16,
        width: int = 96,
        depth: int = 4,
        heads: int = 4,
        mlp_ratio: float = 2.0,
        dropout: float = 0.1,
        stem: bool = True,
        members: int = 1,
        loss: Loss | None = None,
        epochs: int = 40,
        patience: int = 15,
        batch_size: int = 16,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.05,
        augmentation: str | Augmentation = "default",
        validation_fraction: float = 0.15,
        device: str = "auto",
        random_state: int = 0,
    ) -> None:
        self.pixels = pixels
        self.patch = patch
        self.width = width
        self.depth = depth
        self.heads = heads
        self.mlp_ratio = mlp_ratio
        self.dropout = dropout
        self.stem = stem
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

    def _body(self, channels: int, side: int, classes: int) -> nn.Module:
        check_patches(side, self.patch, "vit")
        check_heads(self.width, self.heads, "vit")
        if self.stem:
            check_stem(self.patch, "vit")
        return VisionTransformer(
            channels,
            side,
            patch=self.patch,
            width=self.width,
            depth=self.depth,
            heads=self.heads,
            mlp_ratio=self.mlp_ratio,
            dropout=self.dropout,
            stem=self.stem,
            outputs=classes,
        )

    @staticmethod
    def search_space(trial: Any) -> dict[str, Any]:
        """Draw settings from the detector's search space."""
        return {
            "learning_rate": trial.suggest_float("learning_rate", 3e-4, 3e-3, log=True),
            "weight_decay": trial.suggest_float("weight_decay", 1e-3, 0.3, log=True),
            "depth": trial.suggest_int("depth", 2, 6),
            "dropout": trial.suggest_float("dropout", 0.0, 0.3),
        }


class Swin(TransformerClassifier):
    """Transformer of shifted windows in stages, made of MONAI's parts, its last tokens averaged.

    From scratch on 408 images of ``phantom:brain`` of difficulty .5 it stays at chance
    (benchmarks/detectors.md), as `ViT` does.

    Source: Liu et al., "Swin Transformer: hierarchical vision transformer using shifted windows", ICCV 2021;
    the stem: Xiao et al., "Early convolutions help transformers see better", NeurIPS 2021.

    Parameters
    ----------
    pixels, members, loss, epochs, patience, batch_size, learning_rate, weight_decay, augmentation, \
validation_fraction, device, random_state
        See `raresight.detect.network.NetworkClassifier`.
    patch : int
        Pixels a side of what one token of the first stage stands for; must divide the images, and with
        the stem be a power of 2.
    width, depths, heads, window, dropout, drop_path, stem
        See `raresight.networks.transformers.SwinClassifier`.
    """

    def __init__(
        self,
        *,
        pixels: int = 112,
        patch: int = 4,
        width: int = 24,
        depths: Sequence[int] = (2, 2, 2),
        heads: Sequence[int] = (3, 6, 12),
        window: int = 7,
        dropout: float = 0.1,
        drop_path: float = 0.1,
        stem: bool = True,
        members: int = 1,
        loss: Loss | None = None,
        epochs: int = 40,
        patience: int = 15,
        batch_size: int = 16,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.05,
        augmentation: str | Augmentation = "default",
        validation_fraction: float = 0.15,
        device: str = "auto",
        random_state: int = 0,
    ) -> None:
        self.pixels = pixels
        self.patch = patch
        self.width = width
        self.depths = depths
        self.heads = heads
        self.window = window
        self.dropout = dropout
        self.drop_path = drop_path
        self.stem = stem
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

    def _body(self, channels: int, side: int, classes: int) -> nn.Module:
        check_patches(side, self.patch, "swin")
        if self.stem:
            check_stem(self.patch, "swin")
        if not self.depths or len(self.depths) != len(self.heads):
            raise OptionError(
                f"swin[depths={self.depths},heads={self.heads}]: each stage needs a depth and heads"
            )
        if self.window < 2:
            raise OptionError(f"swin[window={self.window}] is too small; choose at least 2")
        for stage, heads in enumerate(self.heads):
            check_heads(self.width * 2**stage, heads, "swin")
        return SwinClassifier(
            channels,
            patch=self.patch,
            width=self.width,
            depths=self.depths,
            heads=self.heads,
            window=self.window,
            dropout=self.dropout,
            drop_path=self.drop_path,
            stem=self.stem,
            outputs=classes,
        )

    @staticmethod
    def search_space(trial: Any) -> dict[str, Any]:
        """Draw settings from the detector's search space."""
        return {
            "learning_rate": trial.suggest_float("learning_rate", 3e-4, 5e-3, log=True),
            "weight_decay": trial.suggest_float("weight_decay", 1e-3, 0.3, log=True),
            "drop_path": trial.suggest_float("drop_path", 0.0, 0.3),
            "dropout": trial.suggest_float("dropout", 0.0, 0.3),
        }
