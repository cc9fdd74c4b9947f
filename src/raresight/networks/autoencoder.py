"""A small convolutional autoencoder of images: from pixels to a short code, and back."""

from __future__ import annotations

from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor, nn
from torch.nn import functional as nnf

from raresight.errors import DataError
from raresight.networks.pixels import FULL_SCALE, ImageNetwork, Pixels
from raresight.networks.rows import ImageArray, ImageRows, blocks, read_block
from raresight.networks.training import BLOCK, Schedule, find_device, local_seed, train_network

SIDE = 64
"""Side in pixels of what the autoencoder sees and draws."""

Penalty = Literal["paper", "published-code"]

CHECKED_ROWS = 64
"""Training images on whose reconstruction the best epoch is chosen."""

COMPONENT_ROWS = 1000
"""Training images from which the mean image and the components are computed, at most."""

IMAGES_AN_EPOCH = 960
"""A small set is gone through several times before its reconstruction is looked at again."""


class Autoencoder(nn.Module):
    """Strided convolutions to a code, transposed ones back, as in DCGAN (Radford et al. 2016).

    Beside them stands the best linear autoencoder, principal components (Baldi & Hornik 1989), which is not
    trained: the convolutions learn what it leaves, and a minute of training goes where ten would be needed.

    Parameters
    ----------
    mean : (channels, 64, 64) float32 tensor
        The mean training image, 0 to 1.
    components : (latent, channels · 64 · 64) float32 tensor
        Orthonormal rows, or zeros.
    scale : float
        What a component's coefficients are divided by in the code.
    width : int
        Feature maps of the first stage; the next three have 2, 4 and 4 times as many.
    mates : int
        In training the last so many images of a batch are of one class and are decoded in permuted order
        (DeepSMOTE's penalty); 0 for a plain autoencoder.
    detach : bool
        Whether the penalty stops at the code, so that it trains the decoder alone.
    """

    mean: Tensor
    components: Tensor

    def __init__(
        self,
        mean: Tensor,
        components: Tensor,
        scale: float,
        *,
        width: int = 16,
        mates: int = 0,
        detach: bool = True,
    ) -> None:
        super().__init__()
        channels, latent = len(mean), len(components)
        self.register_buffer("mean", mean[None])
        self.register_buffer("components", components)
        self.scale = scale
        self.mates, self.detach = mates, detach
        w, side = width, SIDE // 16
        to_code = nn.Linear(4 * w * side * side, latent)
        to_planes = nn.ConvTranspose2d(w, channels, 4, 2, 1)
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, w, 4, 2, 1),
            nn.LeakyReLU(0.2),
            *_down(w, 2 * w),
            *_down(2 * w, 4 * w),
            *_down(4 * w, 4 * w),
            nn.Flatten(),
            to_code,
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent, 4 * w * side * side),
            nn.Unflatten(1, (4 * w, side, side)),
            *_up(4 * w, 4 * w),
            *_up(4 * w, 2 * w),
            *_up(2 * w, w),
            to_planes,
        )
        # Zero at first: training starts from the components.
        for parameter in (to_code.weight, to_code.bias, to_planes.weight, to_planes.bias):
            if parameter is not None:
                nn.init.zeros_(parameter)

    def encode(self, planes: Tensor) -> Tensor:
        """(n, channels, 64, 64), 0 to 1 → (n, latent)."""
        apart = planes - self.mean
        return cast(Tensor, self.encoder(apart)) + apart.flatten(1) @ self.components.T / self.scale

    def decode(self, codes: Tensor) -> Tensor:
        """(n, latent) → (n, channels, 64, 64), about 0 to 1."""
        linear = (codes * self.scale @ self.components).view(-1, *self.mean.shape[1:])
        return cast(Tensor, self.decoder(codes)) + linear + self.mean

    def forward(self, planes: Tensor) -> Tensor:
        """Reconstruct; in training, the last `mates` images from each other's codes."""
        if not (self.training and self.mates):
            return self.decode(self.encode(planes))
        # Apart: in one batch, batch normalisation would carry the penalty over to the images' own codes.
        own = self.decode(self.encode(planes[: -self.mates]))
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.detach):
            codes = self.encode(planes[-self.mates :]).roll(-1, dims=0)
        return torch.cat([own, self.decode(codes)])


def _down(inner: int, outer: int) -> list[nn.Module]:
    return [nn.Conv2d(inner, outer, 4, 2, 1, bias=False), nn.BatchNorm2d(outer), nn.LeakyReLU(0.2)]


def _up(inner: int, outer: int) -> list[nn.Module]:
    return [nn.ConvTranspose2d(inner, outer, 4, 2, 1, bias=False), nn.BatchNorm2d(outer), nn.LeakyReLU(0.2)]


class SquaredError(nn.Module):
    """Mean squared difference of each image, (n,)."""

    def forward(self, made: Tensor, wanted: Tensor) -> Tensor:
        """Compare two (n, channels, height, width) tensors."""
        return (made - wanted).square().mean(dim=(1, 2, 3))


class Reconstruction(ImageRows):
    """Images that are their own targets; after them, if wanted, some of one class for DeepSMOTE's penalty.

    Parameters
    ----------
    images : (n, 64, 64, channels) uint8 or uint16 array
    pixels : Pixels
    labels : (n,) array, optional
        Given, each batch is followed by `mates` images of one class drawn at random.
    mates : int
    same_order : bool
        Whether the permuted codes are held against equally permuted images (the published code) or against
        the images in their old order (the paper).
    repeat : int
        How often an epoch shows each image.
    seed : int
        Of the draws.
    """

    def __init__(
        self,
        images: NDArray[Any],
        pixels: Pixels,
        *,
        labels: NDArray[Any] | None = None,
        mates: int = 0,
        same_order: bool = True,
        repeat: int = 1,
        seed: int = 0,
    ) -> None:
        self.images, self.pixels = images, pixels
        self.mates, self.same_order, self.repeat = mates, same_order, repeat
        self.classes = [] if labels is None else [np.flatnonzero(labels == c) for c in np.unique(labels)]
        self.random = np.random.default_rng(seed)

    def __len__(self) -> int:
        return len(self.images) * self.repeat

    def __getitem__(self, rows: list[int]) -> tuple[Tensor, dict[str, Tensor]]:
        own = np.asarray(rows, dtype=np.int64) % len(self.images)
        if not self.mates:
            x = read_block(self.images, own)
            return x, {"target": self.pixels(x), "weight": torch.ones(len(x))}
        one_class = self.classes[self.random.integers(len(self.classes))]
        mates = self.random.permutation(one_class)[: self.mates]
        x = read_block(self.images, np.concatenate([own, mates]))
        target = self.pixels(x)
        if self.same_order:
            target = torch.cat([target[: len(own)], target[len(own) :].roll(-1, dims=0)])
        # The batch's mean of these weighted losses is the mean over the images plus that over the mates.
        shares = [torch.full((len(part),), len(x) / len(part)) for part in (own, mates)]
        return x, {"target": target, "weight": torch.cat(shares)}


class ImageCodec:
    """A trained autoencoder as arrays see it.

    Parameters
    ----------
    network : ImageNetwork
        Of an `Autoencoder`.
    dtype : dtype
        Of the images, uint8 or uint16.
    device : {"cpu", "cuda"}
    """

    def __init__(self, network: ImageNetwork, dtype: DTypeLike, device: str = "cpu") -> None:
        self.network = network.eval()
        self.dtype = np.dtype(dtype)
        self.device = device

    @property
    def channels(self) -> int:
        """1 or 3."""
        return self._body.mean.shape[1]

    @property
    def _body(self) -> Autoencoder:
        return cast(Autoencoder, self.network.body)

    def encode(self, images: ImageArray) -> NDArray[np.float32]:
        """Turn (n, height, width, channels) images into (n, latent) codes, a block at a time."""
        self.network.to(self.device)
        with torch.inference_mode():
            parts = [
                self._body.encode(
                    self.network.pixels(torch.from_numpy(resized(images[rows], SIDE, SIDE)).to(self.device))
                ).cpu()
                for rows in blocks(len(images), BLOCK)
            ]
        return np.asarray(torch.cat(parts).numpy(), dtype=np.float32)

    def decode(self, codes: NDArray[np.float32], height: int, width: int) -> NDArray[Any]:
        """Draw (n, height, width, channels) images of the dtype that the codec was trained on."""
        self.network.to(self.device)
        full = FULL_SCALE[self.dtype]
        drawn = np.empty((len(codes), height, width, self.channels), self.dtype)
        with torch.inference_mode():
            for rows in blocks(len(codes), BLOCK):
                planes = self._body.decode(torch.from_numpy(codes[rows]).to(self.device)).cpu()
                drawn[rows] = _to_pixels(_resize(planes, height, width) * full, full, self.dtype)
        return drawn


def fit_autoencoder(
    images: ImageArray,
    labels: NDArray[Any] | None = None,
    *,
    penalty: Penalty | None = None,
    latent: int = 128,
    width: int = 16,
    steps: int = 600,
    batch_size: int = 16,
    device: str = "auto",
    seed: int = 0,
) -> ImageCodec:
    """Train an autoencoder on images, at 64 × 64 pixels.

    Parameters
    ----------
    images : (n, height, width, 1 or 3) uint8 or uint16 array
        Read a block at a time; kept at 64 × 64.
    labels : (n,) array, optional
        Classes: the components give each the same weight, and the penalty needs them.
    penalty : {"paper", "published-code"}, optional
        DeepSMOTE's, see `raresight.balance.deepsmote.DeepSMOTE`.
    latent, width : int
        See `Autoencoder`.
    steps : int
        Batches to train on, about.
    batch_size : int
    device : {"auto", "cpu", "cuda"}
    seed : int
        The same seed gives the same codec; no global generator is touched.

    Raises
    ------
    DataError
        If the images are of another dtype or have neither 1 nor 3 channels.
    """
    if len(images.shape) != 4 or images.shape[3] not in (1, 3):
        raise DataError(
            f"an autoencoder takes images (n, height, width, 1 or 3 channels), not {tuple(images.shape)}"
        )
    pixels = Pixels(images.dtype)
    small = np.empty((len(images), SIDE, SIDE, images.shape[3]), images.dtype)
    for rows in blocks(len(images), BLOCK):
        small[rows] = resized(images[rows], SIDE, SIDE)
    mates = 0
    if penalty is not None and labels is not None:
        mates = min(batch_size, int(np.unique(labels, return_counts=True)[1].min()))
    repeat = max(1, min(IMAGES_AN_EPOCH, steps * batch_size) // len(small))
    rows_an_epoch = Reconstruction(
        small,
        pixels,
        labels=labels,
        mates=mates,
        same_order=penalty == "published-code",
        repeat=repeat,
        seed=seed,
    )
    some = np.random.default_rng(seed).permutation(len(small))[:CHECKED_ROWS]
    checked = Reconstruction(small[np.sort(some)], pixels)
    found = find_device(device)
    with local_seed(seed, found):
        body = Autoencoder(
            *_principal_components(small, labels, pixels, latent, seed),
            width=width,
            mates=mates,
            detach=penalty == "published-code",
        )
    network = ImageNetwork(pixels, body)
    epochs = max(1, round(steps / max(1, len(rows_an_epoch) // batch_size)))
    train_network(
        network,
        rows_an_epoch,
        checked,
        criterion=SquaredError(),
        schedule=Schedule(epochs, patience=epochs, batch_size=batch_size, weight_decay=1e-4),
        device=found,
        seed=seed,
    )
    return ImageCodec(network, images.dtype, found)


def resized(images: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Resample (n, h, w, c) uint8 or uint16 images, bicubically, with antialiasing."""
    if images.shape[1:3] == (height, width):
        return np.ascontiguousarray(images)
    planes = torch.from_numpy(images.astype(np.float32)).permute(0, 3, 1, 2)
    return _to_pixels(_resize(planes, height, width), FULL_SCALE[images.dtype], images.dtype)


def _resize(planes: Tensor, height: int, width: int) -> Tensor:
    if planes.shape[2:] == (height, width):
        return planes
    return nnf.interpolate(planes, size=(height, width), mode="bicubic", align_corners=False, antialias=True)


def _to_pixels(planes: Tensor, full: float, dtype: np.dtype[Any]) -> NDArray[Any]:
    values = planes.clamp(0, full).round().permute(0, 2, 3, 1).contiguous().numpy()
    result: NDArray[Any] = values.astype(dtype)
    return result


def _principal_components(
    small: NDArray[Any], labels: NDArray[Any] | None, pixels: Pixels, latent: int, seed: int
) -> tuple[Tensor, Tensor, float]:
    """Mean image, components and their coefficients' usual size, every class weighing the same."""
    some = _spread(len(small), labels, seed)
    planes = pixels(read_block(small, some))
    weight = torch.ones(len(some), 1)
    if labels is not None:
        _, which, counts = np.unique(labels[some], return_inverse=True, return_counts=True)
        weight = torch.from_numpy(len(some) / (len(counts) * counts[which])).float()[:, None]
    flat = planes.flatten(1)
    mean = (weight * flat).mean(dim=0)
    flat = (flat - mean) * weight.sqrt()
    values, vectors = torch.linalg.eigh(flat.double() @ flat.double().T)
    # Directions that hold nothing but rounding are left out; their rows stay zero.
    kept = torch.nonzero(values > 1e-9 * values.max().clamp_min(1e-12)).flatten().flip(0)[:latent]
    components = torch.zeros(latent, flat.shape[1])
    components[: len(kept)] = (vectors[:, kept] / values[kept].sqrt()).T.float() @ flat
    scale = float((values[kept].mean() / len(some)).sqrt()) if len(kept) else 1.0
    return mean.view(planes.shape[1:]), components, scale


def _spread(n: int, labels: NDArray[Any] | None, seed: int) -> NDArray[np.int64]:
    """Draw the rows that components are computed of; of few rare rows none is left out."""
    order = np.random.default_rng(seed).permutation(n)
    if labels is not None and n > COMPONENT_ROWS:
        # Each class's first, second, third … row in turn.
        turn = np.empty(n, np.int64)
        for label in np.unique(labels):
            members = labels[order] == label
            turn[members] = np.arange(members.sum())
        order = order[np.argsort(turn, kind="stable")]
    return np.sort(order[:COMPONENT_ROWS])
