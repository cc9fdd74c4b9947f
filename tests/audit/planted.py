"""Images of one kind of head on one kind of background, and one thing at a time that gives the label away."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

SIDE = 96
LETTER = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1], [1, 0, 1], [1, 0, 1]], bool).repeat(2, 0).repeat(2, 1)

Draw = Callable[[np.random.Generator, bool], np.ndarray]


def head(random: np.random.Generator, radius: float = 0.0, dark: float = 4.0) -> np.ndarray:
    """Draw a noisy disc that varies in size, place, brightness and background."""
    y, x = np.mgrid[:SIDE, :SIDE]
    middle = SIDE / 2 + random.normal(0, 1.5, 2)
    inside = np.hypot(y - middle[0], x - middle[1]) < SIDE * (0.34 + random.normal(0, 0.012) + radius)
    level = random.normal(110, 12)
    image = np.where(
        inside,
        level + random.normal(0, 18, inside.shape),
        dark + np.abs(random.normal(0, 1.5, inside.shape)),
    )
    return np.clip(image, 0, 255)


def plain(random: np.random.Generator, ill: bool) -> np.ndarray:
    return head(random)


def wider(random: np.random.Generator, ill: bool) -> np.ndarray:
    return head(random, radius=0.05 * ill)


def greyer_background(random: np.random.Generator, ill: bool) -> np.ndarray:
    return head(random, dark=4 + 3 * ill)


def brighter(random: np.random.Generator, ill: bool) -> np.ndarray:
    return np.clip(head(random) * (1.4 if ill else 1.0), 0, 255)


def lit_from_one_side(random: np.random.Generator, ill: bool) -> np.ndarray:
    light = np.linspace(0.75, 1.25, SIDE)[None, :]
    return np.clip(head(random) * (light[:, ::-1] if ill else light), 0, 255)


def marked_corner(random: np.random.Generator, ill: bool) -> np.ndarray:
    image = head(random)
    if ill:
        image[:5, -5:] = 14
    return image


def lettered(random: np.random.Generator, ill: bool) -> np.ndarray:
    image = head(random)
    if ill:
        top, left = random.integers(1, 4), random.integers(1, 10)
        image[top : top + 10, left : left + 6][LETTER] = 250
    return image


SHORTCUTS: dict[str, Draw] = {
    "border": wider,
    "background": greyer_background,
    "histogram": brighter,
    "blur": lit_from_one_side,
    "corners": marked_corner,
    "text": lettered,
}


def images(draw: Draw, count: int = 160) -> tuple[np.ndarray, np.ndarray]:
    """Draw (n, side, side, 1) uint8 images, every other one of the second class."""
    random = np.random.default_rng(11)
    y = np.arange(count) % 2
    return np.stack([draw(random, bool(label)) for label in y]).astype(np.uint8)[..., None], y
