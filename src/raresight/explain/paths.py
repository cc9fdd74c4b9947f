"""The ways by which an image leads to a recipe's score, each a chain of layers that gradients can follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from raresight.experiment.recipe import FittedRecipe
from raresight.explain.chains import Call, chain_of, lite0_layers
from raresight.images.augment import AUGMENTATIONS, move, view_maps
from raresight.images.store import ImageStore
from raresight.networks.lite0 import LITE0_WIDTH, Lite0
from raresight.networks.pixels import Mean
from raresight.represent.backbones import full_scale, lite0_trunk_onnx, open_graph
from raresight.represent.trunk import FIRST_BLOCK

Rows = NDArray[np.int64]

FINE = 11
"""Blocks of lite0 after which its maps are 14 × 14 for the last time."""


@dataclass(frozen=True, slots=True)
class Path:
    """One way from an image to a score; a recipe's score is the mean over its paths.

    Attributes
    ----------
    chain : torch.nn.Sequential
        From what `read` gives to (n, 1) scores.
    read : callable
        (store, rows) → (n, c, h, w) float32 tensor.
    back : callable
        Turns (n, 1, h, w) maps back to how the image lies.
    """

    chain: nn.Sequential
    read: Callable[[ImageStore, Rows], Tensor]
    back: Callable[[Tensor], Tensor]


def has_paths(fitted: FittedRecipe) -> bool:
    """Tell whether gradients lead from a recipe's score to places of the image."""
    name, detector = fitted.recipe.representation.name, fitted.detector
    if name == "embedding":
        return getattr(fitted.space, "backbone", None) == "lite0" and _differentiable(fitted)
    body = getattr(getattr(detector, "network_", None), "body", None)
    return name in ("pixels", "trunk") and isinstance(body, Mean)


def paths(fitted: FittedRecipe, *, from_pixels: bool = False) -> list[Path]:
    """Give the ways from images to the score.

    Parameters
    ----------
    fitted : FittedRecipe
        One that `has_paths`.
    from_pixels : bool
        Whether chains begin at the image even where its maps are known already.
    """
    name = fitted.recipe.representation.name
    if name == "embedding":
        return [_embedding_path(fitted, from_pixels)]
    members = list(fitted.detector.network_.body.members)
    if name == "trunk":
        return _trunk_paths(fitted, members, from_pixels)
    sides = (False, True) if fitted.detector.network_.body.mirrored else (False,)
    read = partial(_read_planes, fitted)
    return [
        Path(chain_of(member), partial(_mirrored, read) if turned else read, _turn if turned else _keep)
        for member in members
        for turned in sides
    ]


def _differentiable(fitted: FittedRecipe) -> bool:
    """Tell whether a detector on features has a slope at all: trees and counts of ranks have none."""
    try:
        scorer = fitted.detector.scorer()
    except NotImplementedError:
        return False
    row = torch.linspace(-1, 1, LITE0_WIDTH)[None].requires_grad_(True)
    score = scorer.eval()(row).sum()
    if not score.requires_grad:
        return False
    (slope,) = torch.autograd.grad(score, row, allow_unused=True)
    return slope is not None and bool(slope.any())


def _embedding_path(fitted: FittedRecipe, from_pixels: bool) -> Path:
    scaler = fitted.scaler
    standardise: list[nn.Module] = []
    if scaler is not None:
        mean, scale = (torch.from_numpy(each).float() for each in (scaler.mean_, scaler.scale_))
        standardise = [Call(lambda x: (x - mean) / scale)]
    first = 0 if from_pixels else FINE
    chain = chain_of(nn.Sequential(*lite0_layers(Lite0(), first), *standardise, fitted.detector.scorer()))
    if from_pixels:
        return Path(chain, lambda store, rows: Lite0.planes(_colour(store, rows)).contiguous(), _keep)
    graph = open_graph(lite0_trunk_onnx(FINE))
    return Path(chain, lambda store, rows: fine_maps(graph, store.pixels[rows]), _keep)


def fine_maps(graph: Any, pixels: NDArray[Any]) -> Tensor:
    """Run lite0's first blocks over (n, 224, 224, c) stored pixels: (n, channels, h, w) float32.

    Parameters
    ----------
    graph : onnxruntime.InferenceSession
        Of `raresight.represent.backbones.lite0_trunk_onnx`.
    pixels : (n, 224, 224, 1 or 3) uint8 or uint16 array
    """
    batch = np.repeat(full_scale(pixels), 3, axis=-1) if pixels.shape[-1] == 1 else full_scale(pixels)
    planes = Lite0.planes(torch.from_numpy(batch)).contiguous().numpy()
    return torch.from_numpy(graph.run(None, {"pixels": planes})[0])


def _trunk_paths(fitted: FittedRecipe, members: list[nn.Module], from_pixels: bool) -> list[Path]:
    space, views = fitted.space, int(fitted.detector.network_.views)
    maps = view_maps(AUGMENTATIONS[space.seen_as_], views)
    found = []
    for member in members:
        chain = chain_of(member)
        if from_pixels:
            chain = chain_of(nn.Sequential(*lite0_layers(Lite0(), 0, FIRST_BLOCK[space.stages]), chain))
        for number, theta in enumerate(maps):
            read = partial(_read_moved, theta) if from_pixels else partial(_read_view, fitted, number)
            found.append(Path(chain, read, partial(_taken_back, theta) if number else _keep))
    return found


def _taken_back(theta: Tensor, maps: Tensor) -> Tensor:
    """Move (n, 1, h, w) maps of an image that one of `view_maps`, (2, 3), moved back to how it lay."""
    turned = torch.linalg.inv(theta[:, :2])
    inverse = torch.cat([turned, -turned @ theta[:, 2:]], dim=1)
    return move(maps, inverse.expand(len(maps), -1, -1))


def _read_view(fitted: FittedRecipe, number: int, store: ImageStore, rows: Rows) -> Tensor:
    maps = fitted.space.transform(store, rows)[:, number]
    return torch.from_numpy(np.ascontiguousarray(maps.transpose(0, 3, 1, 2), np.float32))


def _read_moved(theta: Tensor, store: ImageStore, rows: Rows) -> Tensor:
    planes = _colour(store, rows).permute(0, 3, 1, 2)
    moved = move(planes, theta.expand(len(planes), -1, -1))
    return Lite0.planes(moved.permute(0, 2, 3, 1)).contiguous()


def _colour(store: ImageStore, rows: Rows) -> Tensor:
    """(n, side, side, 3) float32 of 0 … 255."""
    pixels = torch.from_numpy(full_scale(store.pixels[rows]))
    return pixels.expand(-1, -1, -1, 3)


def _read_planes(fitted: FittedRecipe, store: ImageStore, rows: Rows) -> Tensor:
    pixels = np.ascontiguousarray(fitted.space.transform(store, rows))
    planes: Tensor = fitted.detector.network_.pixels(torch.from_numpy(pixels))
    return planes.contiguous()


def _mirrored(read: Callable[[ImageStore, Rows], Tensor], store: ImageStore, rows: Rows) -> Tensor:
    return read(store, rows).flip(-1)


def _turn(maps: Tensor) -> Tensor:
    return maps.flip(-1)


def _keep(maps: Tensor) -> Tensor:
    return maps
