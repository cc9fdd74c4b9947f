"""A small generative adversarial pair of 64 px images, with or without classes: WGAN-GP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Adam

from raresight.errors import RaresightError
from raresight.networks.training import local_seed

SIDE = 64
"""Side in pixels of what the pair draws and judges."""

FIRST_IMAGES = 256
"""Training images of a class, at most, whose mean and components the generator starts from."""

LIMIT = 0.98
"""Pixels beyond it are brought back before the inverse of tanh, which is infinite at 1."""

RESTARTS = 2
"""How often training that diverged is begun again, from other first weights."""

RESTART_STRIDE = 7_919
"""Between the seeds of an attempt and the next."""

T = TypeVar("T")

Reader = Callable[[NDArray[np.int64]], Tensor]
"""From row numbers to planes (m, channels, 64, 64), −1 to 1."""


class DivergedError(RaresightError):
    """A loss stopped being a finite number."""


class Beside(nn.Module):
    """Two networks side by side, whose outputs are added.

    Parameters
    ----------
    first, second : torch.nn.Sequential
    """

    def __init__(self, first: nn.Sequential, second: nn.Sequential) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        """Give the sum."""
        total: Tensor = self.first(x) + self.second(x)
        return total


def make_generator(
    planes: Tensor, labels: NDArray[np.int64], latent: int, width: int, classes: int = 0
) -> nn.Sequential:
    """Make a DCGAN-like generator that starts from a Gaussian model of the training images.

    Beside the convolutions, which give 0 at first, stands a linear layer: principal components of the images
    within their classes, on the scale that ``tanh`` turns into pixels. It is trained too. From noise alone, a
    thousand times as many steps would go by before images look like any.

    Source: Radford, Metz & Chintala, "Unsupervised representation learning with deep convolutional generative
    adversarial networks", ICLR 2016.

    Parameters
    ----------
    planes : (n, channels, 64, 64) float32 tensor
        Training images, −1 to 1.
    labels : (n,) int array
        Their classes, 0 … k − 1.
    latent : int
        Length of the code.
    width : int
        Feature maps before the last layer; the layers before it have 2, 4 and 8 times as many.
    classes : int
        How many one-hot entries follow the code.

    Returns
    -------
    torch.nn.Sequential
        (n, latent + classes) codes → (n, channels, 64, 64) planes, −1 to 1.
    """
    w, channels = width, planes.shape[1]
    last = nn.ConvTranspose2d(w, channels, 4, 2, 1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(cast(Tensor, last.bias))
    convolutions = nn.Sequential(
        nn.Linear(latent + classes, 8 * w * 16, bias=False),
        nn.Unflatten(1, (8 * w, 4, 4)),
        nn.BatchNorm2d(8 * w),
        nn.ReLU(),
        *_up(8 * w, 4 * w),
        *_up(4 * w, 2 * w),
        *_up(2 * w, w),
        last,
    )
    linear = nn.Sequential(
        _gaussian(planes, labels, latent, classes), nn.Unflatten(1, (channels, SIDE, SIDE))
    )
    return nn.Sequential(Beside(convolutions, linear), nn.Tanh())


def _gaussian(planes: Tensor, labels: NDArray[np.int64], latent: int, classes: int) -> nn.Linear:
    """Give the linear layer that turns normal codes into images of the classes' means and covariance."""
    flat = torch.atanh(planes.clamp(-LIMIT, LIMIT)).flatten(1)
    names = range(int(labels.max()) + 1)
    means = torch.stack([flat[torch.from_numpy(labels == c)].mean(dim=0) for c in names])
    apart = flat - means[torch.from_numpy(labels)]
    values, vectors = torch.linalg.eigh((apart @ apart.T).double())
    kept = values.flip(0)[:latent] > 1e-6 * values[-1].clamp_min(1e-12)
    directions = vectors.flip(1)[:, :latent][:, kept].T.float() @ apart / len(flat) ** 0.5
    layer = nn.Linear(latent + classes, flat.shape[1])
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[:, : len(directions)] = directions.T
        layer.bias.copy_(means.mean(dim=0))
        if classes:
            layer.weight[:, latent:] = (means - means.mean(dim=0)).T
    return layer


def _up(inner: int, outer: int) -> list[nn.Module]:
    return [nn.ConvTranspose2d(inner, outer, 4, 2, 1, bias=False), nn.BatchNorm2d(outer), nn.ReLU()]


def make_features(channels: int, width: int) -> nn.Sequential:
    """Make strided convolutions (n, channels, 64, 64) → (n, 128 · width), without normalisation.

    Batch normalisation would make an image's value depend on its batch, which the gradient penalty forbids.
    """
    sizes = [channels, width, 2 * width, 4 * width, 8 * width]
    layers: list[nn.Module] = []
    for inner, outer in pairwise(sizes):
        layers += [nn.Conv2d(inner, outer, 4, 2, 1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Flatten())


def make_encoder(channels: int, width: int, latent: int) -> nn.Sequential:
    """Make an encoder (n, channels, 64, 64) → (n, latent), of the critic's shape."""
    return nn.Sequential(make_features(channels, width), nn.Linear(128 * width, latent))


class Critic(nn.Module):
    """Value images, higher = more like the training images; given classes, by projection.

    Source: Miyato & Koyama, "cGANs with projection discriminator", ICLR 2018.

    Parameters
    ----------
    channels, width : int
        See `make_features`.
    classes : int
        0: images are valued without regard to a class.
    """

    def __init__(self, channels: int, width: int, classes: int = 0) -> None:
        super().__init__()
        self.features = make_features(channels, width)
        self.value = nn.Linear(128 * width, 1)
        self.projection = nn.Linear(classes, 128 * width, bias=False) if classes else None

    def forward(self, planes: Tensor, classes: Tensor) -> Tensor:
        """(n, channels, 64, 64) planes and (n, classes) one-hot rows → (n,) values."""
        seen = self.features(planes)
        value = cast(Tensor, self.value(seen))[:, 0]
        if self.projection is not None:
            value = value + (self.projection(classes) * seen).mean(dim=1)
        return value


def gradient_penalty(critic: Critic, real: Tensor, drawn: Tensor, classes: Tensor) -> Tensor:
    """Mean of (‖gradient‖ − 1)² at random points between real and drawn images (Gulrajani et al. 2017)."""
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = (real + share * (drawn - real)).requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(between, classes).sum(), between, create_graph=True)
    # The root's slope at 0 is infinite.
    norm = (gradient.flatten(1).square().sum(dim=1) + 1e-12).sqrt()
    return (norm - 1).square().mean()


@dataclass(frozen=True, slots=True)
class AdversarialSettings:
    """How a pair is built and trained.

    Attributes
    ----------
    latent, width : int
        See `make_generator`.
    steps : int
        Of the generator.
    critic_steps : int
        Of the critic, for each of the generator's.
    penalty : float
        Weight of the gradient penalty.
    batch_size : int
    learning_rate : float
        Adam's, with betas (0, 0.9).
    """

    latent: int = 128
    width: int = 16
    steps: int = 300
    critic_steps: int = 5
    penalty: float = 10.0
    batch_size: int = 16
    learning_rate: float = 1e-4


@dataclass(frozen=True, slots=True)
class Pair:
    """A trained pair, on the CPU and in evaluation mode.

    Attributes
    ----------
    generator : torch.nn.Sequential
    critic : Critic
    restarts : int
        How often training diverged before.
    """

    generator: nn.Sequential
    critic: Critic
    restarts: int


def fit_pair(
    read: Reader, labels: NDArray[Any], settings: AdversarialSettings, *, device: str = "cpu", seed: int = 0
) -> Pair:
    """Train a generator and a critic: WGAN-GP.

    Batches hold each class equally often. Source: Gulrajani, Ahmed, Arjovsky, Dumoulin & Courville, "Improved
    training of Wasserstein GANs", NeurIPS 2017.

    Parameters
    ----------
    read : callable
        From row numbers to planes.
    labels : (n,) int array
        Classes 0 … k − 1; with more than one the pair is conditional.
    settings : AdversarialSettings
    device : {"cpu", "cuda"}
    seed : int
        Of the weights, the batches and the codes; no global generator is touched.

    Raises
    ------
    RaresightError
        If training diverges from three different first weights.
    """

    def attempt(seed: int) -> tuple[nn.Sequential, Critic]:
        return _train(read, labels, settings, device, seed)

    (generator, critic), restarts = restarted(attempt, seed, settings.learning_rate)
    for network in (generator, critic):
        network.eval().cpu().requires_grad_(False)
    return Pair(generator, critic, restarts)


def restarted(attempt: Callable[[int], T], seed: int, learning_rate: float) -> tuple[T, int]:
    """Call a training with other seeds until it does not diverge; give its result and the restarts.

    Raises
    ------
    RaresightError
        If the last attempt diverges too.
    """
    for restart in range(RESTARTS + 1):
        try:
            return attempt(seed + restart * RESTART_STRIDE), restart
        except DivergedError:
            continue
    raise RaresightError(
        f"adversarial training diverged from {RESTARTS + 1} different first weights; "
        f"choose a learning_rate below {learning_rate:g}"
    )


def check_finite(*losses: Tensor) -> None:
    """Stop a training whose loss is no number any more.

    Raises
    ------
    DivergedError
        If one is NaN or infinite.
    """
    if not all(bool(torch.isfinite(loss)) for loss in losses):
        raise DivergedError("a loss is no longer a finite number")


def _train(
    read: Reader, labels: NDArray[Any], settings: AdversarialSettings, device: str, seed: int
) -> tuple[nn.Sequential, Critic]:
    draw = _Batches(read, labels, settings, device, seed)
    with local_seed(seed, device):
        planes, known = draw.some()
        generator = make_generator(planes, known, settings.latent, settings.width, draw.classes).to(device)
        critic = Critic(planes.shape[1], settings.width, draw.classes).to(device)
        adam = {"lr": settings.learning_rate, "betas": (0.0, 0.9)}
        generating = Adam(generator.parameters(), **adam)  # type: ignore[arg-type]
        judging = Adam(critic.parameters(), **adam)  # type: ignore[arg-type]
        for _ in range(settings.steps):
            for _ in range(settings.critic_steps):
                real, classes = draw.real()
                with torch.no_grad():
                    drawn = generator(draw.codes(classes))
                loss = (critic(drawn, classes) - critic(real, classes)).mean()
                loss = loss + settings.penalty * gradient_penalty(critic, real, drawn, classes)
                _descend(judging, loss)
            classes = draw.random_classes()
            _descend(generating, -critic(generator(draw.codes(classes)), classes).mean())
    return generator, critic


def _descend(optimizer: Adam, loss: Tensor) -> None:
    check_finite(loss.detach())
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


class _Batches:
    """Real images, classes and codes, drawn at random."""

    def __init__(
        self, read: Reader, labels: NDArray[Any], settings: AdversarialSettings, device: str, seed: int
    ) -> None:
        self.read, self.settings, self.device = read, settings, device
        self.members = [np.flatnonzero(labels == c) for c in np.unique(labels)]
        self.classes = len(self.members) if len(self.members) > 1 else 0
        self.random = np.random.default_rng(seed)

    def some(self) -> tuple[Tensor, NDArray[np.int64]]:
        """Give images of each class, and their classes."""
        some = [self.random.permutation(rows)[:FIRST_IMAGES] for rows in self.members]
        known = np.repeat(np.arange(len(some)), [len(rows) for rows in some])
        return self.read(np.concatenate(some)), known

    def _which(self) -> NDArray[np.int64]:
        return self.random.integers(len(self.members), size=self.settings.batch_size)

    def _one_hot(self, which: NDArray[np.int64]) -> Tensor:
        return torch.eye(len(self.members), device=self.device)[torch.from_numpy(which)][:, : self.classes]

    def real(self) -> tuple[Tensor, Tensor]:
        which = self._which()
        rows = np.array([self.random.choice(self.members[c]) for c in which], np.int64)
        return self.read(rows).to(self.device), self._one_hot(which)

    def random_classes(self) -> Tensor:
        return self._one_hot(self._which())

    def codes(self, classes: Tensor) -> Tensor:
        code = torch.randn(len(classes), self.settings.latent, device=self.device)
        return torch.cat([code, classes], dim=1)
