"""Smooth random fields and soft edges, the phantoms' pencils."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating[Any]]
"""A (size, size) plane, float32 throughout: numpy's stubs cannot tell that Python's floats leave it so."""


@lru_cache(maxsize=64)
def spline_basis(size: int, cells: int) -> Field:
    """Weigh `cells` + 3 coefficients at each of `size` points: uniform cubic B-splines, (size, cells + 3)."""
    at = (np.arange(size) + 0.5) * cells / size
    first = np.minimum(at.astype(int), cells - 1)
    t = at - first
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], 1) / 6
    basis = np.zeros((size, cells + 3), np.float32)
    np.put_along_axis(basis, first[:, None] + np.arange(4), weights.astype(np.float32), axis=1)
    basis.setflags(write=False)
    return basis


def draw_coefficients(rng: np.random.Generator, cells: int) -> Field:
    """Draw what `smooth_field` needs for `cells` × `cells` bumps: standard normal, (cells + 3, cells + 3)."""
    return rng.standard_normal((cells + 3, cells + 3), dtype=np.float32)


def smooth_field(coefficients: Field, size: int) -> Field:
    """Draw a smooth (size, size) field of about unit variance from `draw_coefficients`."""
    basis = spline_basis(size, coefficients.shape[0] - 3)
    # A cubic B-spline's squared weights add up to .479 on average, once for each axis.
    field: Field = (basis @ coefficients @ basis.T) / np.float32(0.479)
    return field


def between(first: Field, second: Field, angle: float) -> Field:
    """Turn smoothly from one set of coefficients into another without losing variance."""
    mixed: Field = np.float32(np.cos(angle)) * first + np.float32(np.sin(angle)) * second
    return mixed


def ramp(distance: Field, width: float = 1.0) -> Field:
    """0 well below, 1 well above distance 0, linear over `width` between: an antialiased edge."""
    soft: Field = distance * np.float32(1 / width)
    soft += np.float32(0.5)
    return np.clip(soft, 0, 1, out=soft)


def capsule(u: Field, v: Field, start: tuple[float, float], end: tuple[float, float]) -> Field:
    """Distance of each point (u, v) to the segment from `start` to `end`."""
    du, dv = end[0] - start[0], end[1] - start[1]
    u, v = u - np.float32(start[0]), v - np.float32(start[1])
    along = np.clip((u * du + v * dv) / (du * du + dv * dv), 0, 1)
    return length(u - along * du, v - along * dv)


def length(x: Field, y: Field) -> Field:
    """√(x² + y²); several times as fast as `numpy.hypot`, and nothing here can overflow."""
    squares = x * x + y * y
    root: Field = np.sqrt(squares, out=squares)
    return root


def power(base: Field, exponent: float) -> Field:
    """Raise what is 0 or more to `exponent`; several times as fast as ``**``."""
    logarithm = np.maximum(base, np.float32(1e-9))
    np.log(logarithm, out=logarithm)
    logarithm *= np.float32(exponent)
    raised: Field = np.exp(logarithm, out=logarithm)
    return raised


def ellipse(
    u: Field, v: Field, centre: tuple[float, float], axes: tuple[float, float], tilt: float = 0.0
) -> Field:
    """About the signed distance inside (positive) an ellipse of half-axes `axes`, turned by `tilt` rad."""
    x, y = u - np.float32(centre[0]), v - np.float32(centre[1])
    c, s = np.float32(np.cos(tilt)), np.float32(np.sin(tilt))
    inside = length((c * x + s * y) / axes[0], (c * y - s * x) / axes[1])
    inside *= -min(axes)
    inside += min(axes)
    return inside


def mix(below: Field, value: float | np.floating[Any] | Field, cover: Field) -> Field:
    """Lay `value` over `below` where `cover` is 1."""
    mixed: Field = value - below
    mixed *= cover
    mixed += below
    return mixed
