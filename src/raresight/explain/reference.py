"""Where training images lie in an embedding's space, and how far from there another image does.

Only numpy is imported; see `raresight.explain.novelty`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.errors import DataError

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

AXES = 64
"""Principal axes that are kept, at most; never more than a quarter of the images."""


@dataclass(frozen=True)
class Reference:
    """A Gaussian with few axes of its own and the same small spread along all others.

    Source: Tipping & Bishop, "Probabilistic principal component analysis", JRSS B 61 (1999); as a detector of
    foreign images: Lee, Lee, Lee & Shin, "A simple unified framework for detecting out-of-distribution
    samples and adversarial attacks", NeurIPS 2018, and Wang, Li, Feng & Zhang, "ViM: out-of-distribution with
    virtual-logit matching", CVPR 2022, for what lies outside the principal axes.

    Attributes
    ----------
    mean : (features,) float32 array
    axes : (features, k) float32 array
        Orthonormal.
    scale : (k,) float32 array
        Standard deviation along each axis.
    rest : float
        Standard deviation along every other direction.
    """

    mean: Singles
    axes: Singles
    scale: Singles
    rest: float

    @classmethod
    def fit(cls, embeddings: NDArray[Any]) -> Reference:
        """Find mean, axes and spread of (n, features) embeddings, n at least 4; else raises `DataError`."""
        n, width = embeddings.shape
        if n < 4:
            raise DataError(f"{n} images are too few to tell what is like them; bring at least 4")
        mean = embeddings.mean(axis=0, dtype=np.float64)
        centred = embeddings.astype(np.float64) - mean
        k = max(1, min(AXES, n // 4, width // 4))
        # The smaller of the two Gram matrices has the same positive eigenvalues.
        if n >= width:
            values, vectors = np.linalg.eigh(centred.T @ centred / (n - 1))
            axes = vectors[:, ::-1][:, :k]
        else:
            values, vectors = np.linalg.eigh(centred @ centred.T / (n - 1))
            axes = centred.T @ vectors[:, ::-1][:, :k]
            axes /= np.maximum(np.linalg.norm(axes, axis=0), 1e-12)
        values = np.maximum(values[::-1], 0)
        rest = float(values[k:].sum() / (width - k))
        # Along no axis less than elsewhere: copies of one image have no spread, and divide by nothing.
        floor = max(rest, 1e-12 + 1e-6 * float(values[0]))
        scale = np.sqrt(np.maximum(values[:k], floor))
        return cls(
            mean.astype(np.float32), axes.astype(np.float32), scale.astype(np.float32), float(np.sqrt(floor))
        )

    def distance(self, embeddings: NDArray[Any]) -> Floats:
        """Mahalanobis distance of (n, features) embeddings over √features: (n,), about 1 for its own."""
        centred = np.asarray(embeddings, np.float64) - self.mean
        along = centred @ self.axes
        across = np.maximum((centred**2).sum(axis=1) - (along**2).sum(axis=1), 0)
        squared = ((along / self.scale) ** 2).sum(axis=1) + across / self.rest**2
        found: Floats = np.sqrt(squared / len(self.mean))
        return found

    def to_dict(self) -> dict[str, Any]:
        """Give everything as JSON has it; arrays as base64 of little-endian float32."""
        arrays = {name: _packed(getattr(self, name)) for name in ("mean", "axes", "scale")}
        return {"features": len(self.mean), **arrays, "rest": self.rest}

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Reference:
        """Read what `to_dict` gave; raises `DataError` if it is not that."""
        try:
            mean, axes, scale = (_unpacked(facts[name]) for name in ("mean", "axes", "scale"))
            made = cls(mean, axes.reshape(len(mean), len(scale)), scale, float(facts["rest"]))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError("this is no reference of training images; make it anew") from error
        finite = all(np.isfinite(each).all() for each in (mean, axes, scale))
        if len(mean) != facts["features"] or not finite or not (scale > 0).all() or not made.rest > 0:
            raise DataError("this reference of training images is damaged; make it anew")
        return made


def _packed(values: Singles) -> str:
    return base64.b64encode(values.astype("<f4").tobytes()).decode()


def _unpacked(text: str) -> Singles:
    return np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float32)
