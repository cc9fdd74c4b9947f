"""From an image to the nearest that a trained generator draws: by an encoder, or by a search."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Adam

from raresight.networks.pullback import with_pullback
from raresight.networks.rows import blocks
from raresight.networks.training import BLOCK, local_seed
from raresight.networks.wgan import Pair, Reader, check_finite, make_encoder

CHECKS = 10
"""How often, while an encoder is trained, its loss on the rows held back is looked at."""


class Encoded(nn.Module):
    """Redraw images from their codes.

    Parameters
    ----------
    encoder, generator : torch.nn.Sequential
    """

    def __init__(self, encoder: nn.Sequential, generator: nn.Sequential) -> None:
        super().__init__()
        self.encoder, self.generator = encoder, generator

    def forward(self, planes: Tensor) -> Tensor:
        """(n, channels, 64, 64), −1 to 1 → the same shape."""
        drawn: Tensor = self.generator(self.encoder(planes))
        return drawn


class Searched(nn.Module):
    """Redraw images from the codes that gradient steps find, from the code 0 on.

    A step goes down the gradient of ``(1 − weight) · mean |image − drawn| + weight · mean |features −
    drawn features|``; it is as long as `rate`, and ever shorter towards the end. The gradient is written out
    (see `raresight.networks.pullback`), so that the search can be exported.

    Parameters
    ----------
    generator, features : torch.nn.Sequential
        Trained; `features` are the critic's.
    latent : int
        Length of a code.
    steps : int
    rate : float
        Length of the first step in the latent space.
    weight : float
        0 … 1.
    """

    def __init__(
        self,
        generator: nn.Sequential,
        features: nn.Sequential,
        *,
        latent: int,
        steps: int,
        rate: float,
        weight: float,
    ) -> None:
        super().__init__()
        self.generator, self.features = generator, features
        self.latent, self.steps, self.rate, self.weight = latent, steps, rate, weight

    def forward(self, planes: Tensor) -> Tensor:
        """(n, channels, 64, 64), −1 to 1 → the same shape."""
        wanted = self.features(planes)
        code = planes.flatten(1)[:, :1] * torch.zeros(1, self.latent, device=planes.device)
        for step in range(self.steps):
            gradient = self.gradient(code, planes, wanted)
            length = gradient.square().sum(dim=1, keepdim=True).sqrt() + 1e-12
            code = code - self.rate * (1 - step / self.steps) * gradient / length
        drawn: Tensor = self.generator(code)
        return drawn

    def gradient(self, code: Tensor, planes: Tensor, wanted: Tensor) -> Tensor:
        """Give the loss's gradient by the code, (n, latent)."""
        drawn, to_code = with_pullback(self.generator, code)
        seen, to_planes = with_pullback(self.features, drawn)
        far = (drawn - planes).sign() / planes[0].numel()
        strange = (seen - wanted).sign() / wanted.shape[1]
        return to_code((1 - self.weight) * far + self.weight * to_planes(strange))


def fit_encoder(
    pair: Pair,
    read: Reader,
    n: int,
    held: Tensor | None = None,
    *,
    latent: int,
    width: int,
    kappa: float,
    steps: int,
    batch_size: int,
    learning_rate: float,
    device: str = "cpu",
    seed: int = 0,
) -> nn.Sequential:
    """Train an encoder whose codes a generator turns back into the images: f-AnoGAN's ``izi_f``.

    Parameters
    ----------
    pair : Pair
        Trained, and left as it is.
    read : callable
        From row numbers to planes.
    n : int
        Rows to read from.
    held : (m, channels, 64, 64) tensor, optional
        Other images; the weights that are best on them are kept.
    latent, width, batch_size : int
    kappa : float
        Weight of the squared difference of the critic's features beside that of the pixels.
    steps : int
    learning_rate : float
        At first; it falls to 0 along half a cosine.
    device : {"cpu", "cuda"}
    seed : int

    Raises
    ------
    DivergedError
        If the loss stops being a finite number.
    """
    generator, features = pair.generator.to(device), pair.critic.features.to(device)
    random = np.random.default_rng(seed)

    def loss_of(planes: Tensor) -> Tensor:
        drawn: Tensor = generator(encoder(planes))
        strange: Tensor = (features(drawn) - features(planes)).square().mean()
        return (drawn - planes).square().mean() + kappa * strange

    with local_seed(seed, device):
        encoder = make_encoder(read(np.arange(1)).shape[1], width, latent).to(device)
        adam = Adam(encoder.parameters(), learning_rate)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
        best, kept = float("inf"), copy.deepcopy(encoder.state_dict())
        for step in range(1, steps + 1):
            loss = loss_of(read(random.integers(n, size=batch_size)).to(device))
            check_finite(loss.detach())
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
            falling.step()
            if held is None or step % max(1, steps // CHECKS):
                continue
            with torch.no_grad():
                now = _mean_loss(loss_of, held.to(device))
            if now < best:
                best, kept = now, copy.deepcopy(encoder.state_dict())
    if held is not None:
        encoder.load_state_dict(kept)
    generator.cpu()
    features.cpu()
    return encoder.eval().cpu()


def _mean_loss(loss_of: Callable[[Tensor], Tensor], planes: Tensor) -> float:
    parts = [float(loss_of(planes[rows])) * len(rows) for rows in blocks(len(planes), BLOCK)]
    return sum(parts) / len(planes)
