"""How a synthetic row comes of its parents: a segment, a ball, a mixture of two segments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import daxpy, saxpy

from raresight.errors import DataError

Array = NDArray[Any]
Rows = NDArray[np.int64]
Steps = NDArray[np.float32]

CACHED_BYTES = 1 << 16
"""Much smaller rows are blended several at a time; larger ones one by one, which stays in the cache."""

AXPY = {np.dtype(np.float32): saxpy, np.dtype(np.float64): daxpy}
"""``y += a x`` in place, in one pass over a contiguous row."""


@dataclass(frozen=True, slots=True, eq=False)
class Parents:
    """Some rows of a plan: who their parents are and how far they go.

    Attributes
    ----------
    base, partner : (m,) int64 arrays
    step : (m,) float32 array
    seed : (m,) int64 array or None
    """

    base: Rows
    partner: Rows
    step: Steps
    seed: Rows | None = None


class Law(Protocol):
    """How rows are made; also what a plan's file says of it."""

    def write(self, X: Array, parents: Parents, index: Any, out: Array) -> None:
        """Write the rows that `index` names to `out`; `parents` are theirs alone."""

    def rows(self) -> list[Rows]:
        """Give further parents, (m,) each, beside base and partner."""

    def take(self, index: Any) -> Law:
        """Give the law of some of the rows."""

    def settings(self) -> dict[str, Any]:
        """Give the name and what is the same for all rows."""

    def columns(self) -> dict[str, Array]:
        """Give what differs from row to row."""


@dataclass(frozen=True, slots=True, eq=False)
class Ball:
    """Geometric SMOTE's law: a point of a truncated, deformed ball around the base, through the partner.

    Source: Douzas & Bacao, "Geometric SMOTE: a geometrically enhanced drop-in replacement for SMOTE",
    Information Sciences 501 (2019), 118–135, algorithm 1. The plan's step is the uniform draw that its d-th
    root turns into a radius; the direction comes from the row's seed.

    Attributes
    ----------
    truncation : float
        −1 … 1; 1 keeps the half ball towards the partner, −1 the other, 0 the whole.
    deformation : float
        0 … 1; 0 a ball, 1 the segment.
    """

    truncation: float = 1.0
    deformation: float = 0.0

    def write(self, X: Array, parents: Parents, index: Any, out: Array) -> None:
        """Write the rows to `out`."""
        if parents.seed is None:
            raise ValueError("the law of Geometric SMOTE needs a seed for each row")
        for i in range(len(out)):
            centre = np.asarray(X[parents.base[i]], np.float64).ravel()
            across = np.asarray(X[parents.partner[i]], np.float64).ravel() - centre
            point = self.point(across, float(parents.step[i]), int(parents.seed[i]))
            put(centre + point, out[i : i + 1].reshape(-1))

    def point(self, across: NDArray[np.float64], draw: float, seed: int) -> NDArray[np.float64]:
        """Give the way from the base to the new row, from the way from the base to the partner."""
        radius = float(np.linalg.norm(across))
        if radius == 0:
            return np.zeros_like(across)
        towards = across / radius
        point = np.random.default_rng(seed).standard_normal(len(across))
        point *= draw ** (1 / len(across)) / np.linalg.norm(point)
        along = float(point @ towards)
        if (self.truncation > 0 and along < self.truncation - 1) or (
            self.truncation < 0 and along > self.truncation + 1
        ):
            point -= 2 * along * towards
            along = -along
        parallel = along * towards
        return np.asarray(radius * (parallel + (1 - self.deformation) * (point - parallel)))

    def rows(self) -> list[Rows]:
        """Give no further parents."""
        return []

    def take(self, index: Any) -> Ball:
        """Give the same law."""
        return self

    def settings(self) -> dict[str, Any]:
        """Give the two factors."""
        return {"name": "ball", "truncation": self.truncation, "deformation": self.deformation}

    def columns(self) -> dict[str, Array]:
        """Give nothing."""
        return {}


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """A weighted mean of two segments' points: Mixup over rows of which some are synthetic themselves.

    Every row is written from its one to four training rows, so that nothing is rounded twice and the
    parents are exact.

    Attributes
    ----------
    base, partner : (m,) int64 arrays
        The second segment.
    step : (m,) float32 array
        How far along it.
    weight : (m,) float32 array
        Of the second segment's point, 0 … 1; the first segment's has the rest.
    """

    base: Rows
    partner: Rows
    step: Steps
    weight: Steps

    def write(self, X: Array, parents: Parents, index: Any, out: Array) -> None:
        """Write the rows to `out`."""
        second = Parents(self.base[index], self.partner[index], self.step[index])
        weight = self.weight[index]
        shape = (1, *X.shape[1:])
        kind = np.result_type(X.dtype, np.float32)
        points = np.empty(shape, kind), np.empty(shape, kind)
        for i in range(len(out)):
            one = slice(i, i + 1)
            for point, of in zip(points, (parents, second), strict=True):
                blend(X, of.base[one], of.partner[one], of.step[one], point)
            points[0][...] += weight[i] * (points[1] - points[0])
            put(points[0], out[one])

    def rows(self) -> list[Rows]:
        """Give the second segments' ends."""
        return [self.base, self.partner]

    def take(self, index: Any) -> Mixture:
        """Give the law of some of the rows."""
        return Mixture(self.base[index], self.partner[index], self.step[index], self.weight[index])

    def settings(self) -> dict[str, Any]:
        """Give the name."""
        return {"name": "mixture"}

    def columns(self) -> dict[str, Array]:
        """Give the second segments and their weights."""
        return {
            "second_base": self.base,
            "second_partner": self.partner,
            "second_step": self.step,
            "second_weight": self.weight,
        }


def law_of(settings: dict[str, Any] | None, columns: dict[str, Array]) -> Law | None:
    """Make a law again from what a plan's file says of it."""
    if settings is None:
        return None
    if settings["name"] == "ball":
        return Ball(settings["truncation"], settings["deformation"])
    if settings["name"] != "mixture":
        raise DataError(
            f"a plan with the law {settings['name']!r} can't be read again: its file keeps where rows come "
            "from, not what makes them"
        )
    names = ("second_base", "second_partner", "second_step", "second_weight")
    return Mixture(*(columns[name] for name in names))


def blend(X: Array, base: Rows, partner: Rows, step: Steps, out: Array) -> None:
    """Write ``X[base] + step (X[partner] − X[base])`` to `out`, rounded where `out` holds integers.

    Parameters
    ----------
    X : (n, ...) array
        Anything that gives rows for row numbers; memory-mapped too.
    base, partner : (m,) int64 arrays
    step : (m,) float32 array
    out : (m, ...) array
    """
    kind = np.result_type(X.dtype, np.float32) if X.dtype.kind in "iub" else X.dtype
    width = int(np.prod(X.shape[1:])) * np.dtype(kind).itemsize
    if not isinstance(X, np.ndarray) or width < CACHED_BYTES // 16:
        _blend_together(X, base, partner, step, out, kind)
    else:
        _blend_singly(X, base, partner, step, out, kind)


def _blend_together(X: Array, base: Rows, partner: Rows, step: Steps, out: Array, kind: Any) -> None:
    start = X[base].astype(kind, copy=False)
    mixed = X[partner].astype(kind, copy=False)
    mixed = mixed - start if mixed is start else np.subtract(mixed, start, out=mixed)
    mixed *= step.astype(kind, copy=False).reshape(-1, *[1] * (X.ndim - 1))
    mixed += start
    put(mixed, out)


def _blend_singly(X: Array, base: Rows, partner: Rows, step: Steps, out: Array, kind: Any) -> None:
    """Blend row by row: both parents and the child stay in the processor's cache."""
    plain = np.asarray(X)
    if (
        out.dtype == plain.dtype
        and plain.dtype in AXPY
        and plain.flags.c_contiguous
        and out.flags.c_contiguous
    ):
        _blend_floats(plain.reshape(len(plain), -1), base, partner, step, out.reshape(len(out), -1))
        return
    mixed, start = np.empty(X.shape[1:], kind), np.empty(X.shape[1:], kind)
    weights = step.astype(kind, copy=False)
    for i, (b, p) in enumerate(zip(base.tolist(), partner.tolist(), strict=True)):
        start[...] = plain[b]
        mixed[...] = plain[p]
        mixed -= start
        mixed *= weights[i]
        mixed += start
        put(mixed, out[i, ...])


def _blend_floats(rows: Array, base: Rows, partner: Rows, step: Steps, out: Array) -> None:
    """Blend as (1 − step) base + step partner: two passes over a row where a difference takes three."""
    add = AXPY[rows.dtype]
    far = step.astype(rows.dtype, copy=False)
    for i, (b, p, near, weight) in enumerate(
        zip(base.tolist(), partner.tolist(), 1 - far, far.tolist(), strict=True)
    ):
        if b == p:
            out[i] = rows[b]
            continue
        np.multiply(rows[b], near, out=out[i])
        add(rows[p], out[i], a=weight)


def put(values: Array, out: Array) -> None:
    """Copy values to `out`; rounded and held within its range where it holds integers."""
    if out.dtype.kind not in "iub" or values.dtype.kind in "iub":
        out[...] = values
        return
    rounded = np.rint(values)
    if out.dtype.kind == "b":
        out[...] = rounded > 0
        return
    limits = np.iinfo(out.dtype)
    # Steps beyond 0 … 1 (SVM-SMOTE, boundary-SMOTE, the ball) would wrap around in unsigned pixels.
    np.clip(rounded, limits.min, limits.max, out=rounded)
    out[...] = rounded
