"""Logistic regressions of a label on one variable, under many weightings of the same rows at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def slopes(y: Floats, logit: Floats, weights: Floats, steps: int) -> Floats:
    """Fit intercept and slope, and give the slope, (B,); NaN where classes part perfectly.

    Parameters
    ----------
    y : (n,) float array of 0 and 1
    logit : (n,) float array
        Finite.
    weights : (B, n) float array
    steps : int
        Newton steps from the fit to all weightings' mean.
    """
    mean = weights.mean(axis=0, keepdims=True)
    start = _newton(y, logit, mean, np.zeros((1, 2)), 50)
    if len(weights) == 1 or not np.isfinite(start).all():
        return np.broadcast_to(start[:, 1], len(weights)).copy()
    return _newton(y, logit, weights, start, steps)[:, 1]


def intercepts(y: Floats, logit: Floats, weights: Floats, steps: int) -> Floats:
    """Fit the intercept alone, the slope held at 1, (B,); NaN where a class is missing. See `slopes`."""
    hits, total = weights @ y, weights.sum(axis=1)
    mean = weights.mean(axis=0, keepdims=True)
    if not 0 < float((mean @ y)[0]) < mean.sum():
        return np.full(len(weights), np.nan)
    start = _root(logit, mean, mean @ y, np.zeros(1), 50)
    found = start if len(weights) == 1 else _root(logit, weights, hits, start, steps)
    return np.where((hits > 0) & (hits < total), found, np.nan)


def _root(logit: Floats, weights: Floats, hits: Floats, start: Floats, steps: int) -> Floats:
    """Find where expected and observed anomalies agree, by Newton's method with steps of at most 3."""
    found = np.broadcast_to(start, len(weights)).copy()
    for step in range(steps):
        at = start[:, None] if step == 0 else found[:, None]
        expected = 1 / (1 + np.exp(-np.clip(at + logit, -500, 500)))
        if len(expected) == 1:  # all at the same place: matrix products will do
            mass, spread = weights @ expected[0], weights @ (expected * (1 - expected))[0]
        else:
            mass = np.einsum("bi,bi->b", weights, expected)
            spread = np.einsum("bi,bi->b", weights, expected * (1 - expected))
        move = np.clip((hits - mass) / np.maximum(spread, 1e-300), -3, 3)
        found += move
        if not np.isfinite(found).any() or np.nanmax(np.abs(move)) < 1e-11:
            break
    return found


def _newton(y: Floats, x: Floats, weights: Floats, start: Floats, steps: int) -> Floats:
    """Fit intercept and slope, (B, 2), by Newton's method; NaN where classes part perfectly."""
    beta = np.broadcast_to(start, (len(weights), 2)).copy()
    move = np.full_like(beta, np.inf)
    for step in range(steps):
        shared = len(start) == 1 and step == 0
        at = start if shared else beta
        expected = 1 / (1 + np.exp(-np.clip(at[:, :1] + at[:, 1:] * x, -500, 500)))
        residual, spread = y - expected, expected * (1 - expected)
        if shared:  # all at the same place: matrix products will do
            sums = weights @ np.column_stack([_times(residual[0], x, 1), _times(spread[0], x, 2)])
        else:
            sums = np.hstack([(weights * residual) @ _powers(x, 1), (weights * spread) @ _powers(x, 2)])
        move = _solve(sums)
        beta += move
        if not np.isfinite(beta).any() or np.nanmax(np.abs(move)) < 1e-11:
            break
    if steps > 1:
        beta[~(np.abs(move).max(axis=1) < 1e-6)] = np.nan
    return beta


def _powers(x: Floats, degree: int) -> Floats:
    return np.column_stack([x**k for k in range(degree + 1)])


def _times(values: Floats, x: Floats, degree: int) -> Floats:
    return values[:, None] * _powers(x, degree)


def _solve(sums: Floats) -> Floats:
    """Take the Newton step from gradient (2) and Hessian (3) sums, (B, 5)."""
    g0, g1, h0, h1, h2 = sums.T
    determinant = h0 * h2 - h1 * h1
    determinant = np.where(determinant > 1e-12 * np.abs(h0 * h2), determinant, np.nan)
    return np.column_stack([(h2 * g0 - h1 * g1) / determinant, (h0 * g1 - h1 * g0) / determinant])
