"""One-class detectors that judge each place of an image by a pretrained network's feature maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from raresight.detect.base import OneClassDetector
from raresight.detect.network import torch_scores
from raresight.errors import DataError, OptionError

Array = NDArray[Any]

BLOCK = 8
"""Images whose places are judged at once."""


class PatchDetector(OneClassDetector):
    """Base of the detectors on feature maps; a subclass's `scorer` has a method ``places``."""

    sees = "maps"
    takes = ("maps",)

    def decision_function(self, X: Array) -> NDArray[np.float64]:
        """Score (n, h, w, channels) maps, (n,), higher = more anomalous."""
        return torch_scores(self.scorer(), X, size=BLOCK)

    def heatmap(self, X: Array) -> NDArray[np.float32]:
        """Score each place of (n, h, w, channels) maps, (n, h, w), higher = more anomalous."""
        return torch_scores(self.mapper(), X, size=BLOCK).astype(np.float32)

    def mapper(self) -> nn.Module:
        """Give the places' scores as a torch module."""
        return _Places(self.scorer())


class _Places(nn.Module):
    def __init__(self, scorer: Any) -> None:
        super().__init__()
        self.scorer = scorer

    def forward(self, x: Tensor) -> Tensor:
        places: Tensor = self.scorer.places(x)
        return places


def check_maps(X: Any) -> None:
    """Refuse what is no stack of feature maps (n, h, w, channels)."""
    if len(X.shape) != 4:
        raise DataError(
            f"feature maps are (n, h, w, channels), not {tuple(X.shape)}; name --representation maps"
        )


class PaDiM(PatchDetector):
    """The distribution of normal features at each place, and the Mahalanobis distance to it.

    An image's score is its highest place. Three things differ from the paper: covariances are shrunk
    towards a sphere by Ledoit & Wolf's rule (2004), where it adds 0.01 to the diagonal; a place's
    distribution is that of the normal features around it too; and a place's distance is standardised by the
    training rows' own, as places differ in how far normal ones stray. On ``phantom:brain`` of difficulty .5
    (n=600, anomalies=0.1, 3 folds, ``maps[blocks=4,grid=28]``) the last two take AUROC from .822 to .861,
    and were chosen on these folds among some fifteen variants, so the figure flatters.

    Source: Defard, Setkov, Loesch & Audigier, "PaDiM: a patch distribution modeling framework for anomaly
    detection and localization", ICPR workshops 2021.

    Parameters
    ----------
    features : int
        Channels, drawn at random once for all places; the paper keeps 100 of 448.
    around : int
        How many places to each side count as the same place; 0 as in the paper.
    standardise : bool
        Whether distances are standardised place by place; the paper doesn't.
    random_state : int
        Of the channels.
    """

    sees = "maps[blocks=4,grid=28]"
    stochastic = True

    def __init__(
        self, features: int = 100, around: int = 1, standardise: bool = True, random_state: int = 0
    ) -> None:
        self.features, self.around, self.standardise = features, around, standardise
        self.random_state = random_state

    def _learn(self, X: Array, held: Array | None) -> None:
        check_maps(X)
        if self.features < 1 or self.around < 0:
            raise OptionError("padim takes features of at least 1 and around of at least 0")
        random = np.random.default_rng(self.random_state)
        self.channels_ = np.sort(random.permutation(X.shape[3])[: self.features])
        lines = [self._moments(X, line) for line in range(X.shape[1])]
        self.centre_ = np.stack([centre for centre, _ in lines])
        self.whitening_ = np.stack([whitening for _, whitening in lines])
        self.usual_ = np.zeros(X.shape[1:3], np.float32)
        self.spread_ = np.ones(X.shape[1:3], np.float32)
        if self.standardise:
            own = self.heatmap(X)
            self.usual_, spread = own.mean(axis=0), own.std(axis=0)
            self.spread_ = spread + np.float32(0.01) * spread.mean() + np.float32(1e-6)

    def _moments(self, X: Any, line: int) -> tuple[Array, Array]:
        """Give a line's means (w, features) and whitening matrices (w, features, features)."""
        by = self.around
        near = np.asarray(X[:, max(0, line - by) : line + by + 1], np.float32)[..., self.channels_]
        means, whitening = [], []
        for column in range(X.shape[2]):
            rows = near[:, :, max(0, column - by) : column + by + 1].reshape(-1, len(self.channels_))
            means.append(rows.mean(axis=0))
            whitening.append(shrunk_whitening(rows - means[-1]))
        return np.stack(means), np.stack(whitening)

    def scorer(self) -> nn.Module:
        """Give the distances as a torch module."""
        return _Gaussians(self.channels_, self.centre_, self.whitening_, self.usual_, self.spread_)

    @staticmethod
    def search_space(trial: Any) -> dict[str, Any]:
        """Options that tuning tries."""
        return {
            "features": trial.suggest_int("features", 20, 150, log=True),
            "around": trial.suggest_int("around", 0, 2),
        }


def shrunk_whitening(apart: Array) -> NDArray[np.float32]:
    """Give W (d, d) such that |x W| is the Mahalanobis distance by centred rows' (n, d) shrunk covariance."""
    n, d = apart.shape
    covariance = apart.T @ apart / n
    sphere = np.trace(covariance) / d
    spread = float((covariance**2).sum() - d * sphere**2)
    error = float(((apart**2).sum(axis=1) ** 2).mean() - (covariance**2).sum()) / n
    share = min(1.0, error / spread) if spread > 0 else 1.0
    shrunk = (1 - share) * covariance + (share * sphere + 1e-6) * np.eye(d)
    size, axes = np.linalg.eigh(shrunk.astype(np.float64))
    return np.asarray(axes / np.sqrt(size.clip(1e-12)), np.float32)


class _Gaussians(nn.Module):
    channels: Tensor
    centre: Tensor
    whitening: Tensor
    usual: Tensor
    spread: Tensor

    def __init__(self, channels: Array, centre: Array, whitening: Array, usual: Array, spread: Array) -> None:
        super().__init__()
        for name, values in (("channels", channels), ("centre", centre), ("whitening", whitening)):
            self.register_buffer(name, torch.from_numpy(values))
        for name, values in (("usual", usual), ("spread", spread)):
            self.register_buffer(name, torch.from_numpy(values))

    def places(self, x: Tensor) -> Tensor:
        apart = x.float()[..., self.channels] - self.centre
        white = torch.einsum("nhwc,hwcd->nhwd", apart, self.whitening)
        found: Tensor = (torch.linalg.vector_norm(white, dim=3) - self.usual) / self.spread
        return found

    def forward(self, x: Tensor) -> Tensor:
        return self.places(x).flatten(1).amax(dim=1)


class PatchCore(PatchDetector):
    """Distance of each place's features to the nearest of a memory of normal ones, wherever those stood.

    The memory is a coreset: of places drawn at random (as many of each image), the one farthest from all
    chosen so far is chosen next, by distances in a random projection. An image's score is its highest
    place's distance, weighted as in the paper's equation 7 by how alone its nearest memory is. The paper's
    memory is larger and its network wider; on ``phantom:brain`` of difficulty .5 (n=600, anomalies=0.1, 3
    folds) AUROC was .685 only; `PaDiM` knows the places of an aligned organ.

    Source: Roth, Pemula, Zepeda, Schölkopf, Brox & Gehler, "Towards total recall in industrial anomaly
    detection", CVPR 2022.

    Parameters
    ----------
    coreset : int
        Places remembered, at most; the paper keeps 1 to 25 % of all.
    drawn : int
        Places that the coreset is chosen from, at most, so that memory and time stay bounded.
    n_neighbors : int
        Memories near the nearest one that weigh the score; 1 leaves it unweighted.
    random_state : int
        Of the places drawn and the projection.
    """

    stochastic = True

    def __init__(
        self, coreset: int = 2000, drawn: int = 40_000, n_neighbors: int = 9, random_state: int = 0
    ) -> None:
        self.coreset, self.drawn = coreset, drawn
        self.n_neighbors, self.random_state = n_neighbors, random_state

    def _learn(self, X: Array, held: Array | None) -> None:
        check_maps(X)
        for name in ("coreset", "drawn", "n_neighbors"):
            if getattr(self, name) < 1:
                raise OptionError(f"patchcore[{name}={getattr(self, name)}] is too small; choose at least 1")
        random = np.random.default_rng(self.random_state)
        places = draw_places(X, self.drawn, random)
        chosen = farthest_first(project(places, random), self.coreset)
        self.memory_ = places[chosen]
        squared = squared_distances(torch.from_numpy(self.memory_), torch.from_numpy(self.memory_))
        count = min(self.n_neighbors, len(self.memory_))
        self.neighbours_ = torch.topk(squared, count, dim=1, largest=False).indices.numpy()

    def scorer(self) -> nn.Module:
        """Give the distances as a torch module."""
        return _Memory(self.memory_, self.neighbours_)

    @staticmethod
    def search_space(trial: Any) -> dict[str, Any]:
        """Options that tuning tries."""
        return {
            "coreset": trial.suggest_int("coreset", 500, 4000, log=True),
            "n_neighbors": trial.suggest_categorical("n_neighbors", [1, 3, 9]),
        }


PROJECTED = 64
"""Dimensions in which the coreset is chosen (Johnson & Lindenstrauss 1984)."""


def draw_places(X: Any, most: int, random: np.random.Generator) -> NDArray[np.float32]:
    """Draw places of (n, h, w, channels) maps, as many of each image: (at most `most`, channels)."""
    every = X.shape[1] * X.shape[2]
    each = max(1, min(every, most // len(X)))
    rows = [
        np.asarray(X[row], np.float32).reshape(every, -1)[random.permutation(every)[:each]]
        for row in random.permutation(len(X))[:most]
    ]
    return np.concatenate(rows)


def project(places: Array, random: np.random.Generator) -> NDArray[np.float32]:
    """Project rows at random on `PROJECTED` dimensions, where they have more."""
    if places.shape[1] <= PROJECTED:
        return places
    matrix = random.normal(size=(places.shape[1], PROJECTED)) / np.sqrt(PROJECTED)
    return np.asarray(places @ matrix.astype(np.float32))


def farthest_first(rows: Array, most: int) -> NDArray[np.int64]:
    """Choose rows greedily, each the farthest from those chosen: a 2-approximation of the k centres.

    Source: Gonzalez, "Clustering to minimize the maximum intercluster distance", Theoretical Computer Science
    38 (1985).
    """
    apart = rows - rows.mean(axis=0)
    norms = (apart**2).sum(axis=1)
    chosen = [int(norms.argmax())]
    nearest = np.full(len(rows), np.inf, np.float32)
    for _ in range(min(most, len(rows)) - 1):
        last = chosen[-1]
        np.minimum(nearest, norms + norms[last] - 2 * apart @ apart[last], out=nearest)
        nearest[last] = -np.inf
        chosen.append(int(nearest.argmax()))
    return np.array(chosen, np.int64)


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """(n, c), (m, c) → (n, m), about the mean of b, so that float32 does not cancel."""
    centre = b.mean(dim=0)
    a, b = a - centre, b - centre
    return (a.square().sum(dim=1, keepdim=True) + b.square().sum(dim=1) - 2 * a @ b.T).clamp_min(0)


class _Memory(nn.Module):
    memory: Tensor
    neighbours: Tensor

    def __init__(self, memory: Array, neighbours: Array) -> None:
        super().__init__()
        self.register_buffer("memory", torch.from_numpy(memory))
        self.register_buffer("neighbours", torch.from_numpy(neighbours))

    def _squared(self, x: Tensor) -> Tensor:
        """(n, h, w, c) → (n, h · w, m)."""
        squared = squared_distances(x.float().flatten(0, 2), self.memory)
        return squared.reshape(-1, x.shape[1] * x.shape[2], self.memory.shape[0])

    def places(self, x: Tensor) -> Tensor:
        nearest = self._squared(x).amin(dim=2).sqrt()
        return nearest.reshape(-1, x.shape[1], x.shape[2])

    def forward(self, x: Tensor) -> Tensor:
        squared = self._squared(x)
        nearest, memory = squared.min(dim=2)
        highest, place = nearest.max(dim=1)
        if self.neighbours.shape[1] == 1:
            return highest.sqrt()
        near = self.neighbours[memory.gather(1, place[:, None])[:, 0]]
        index = place[:, None, None].expand(-1, 1, squared.shape[2])
        distances = squared.gather(1, index)[:, 0].gather(1, near).sqrt()
        # exp of a distance of hundreds overflows; in units of the features' size it is the paper's weight.
        alone = 1 - torch.softmax(distances / self.memory.shape[1] ** 0.5, dim=1)[:, 0]
        return alone * highest.sqrt()
