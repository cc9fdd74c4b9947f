"""Synthetic images to look at: plans of several samplers on one set, and what their images are like."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from raresight.balance import SAMPLERS
from raresight.balance.plan import SynthesisPlan
from raresight.errors import OptionError
from raresight.evidence.synthesis import SynthesisQuality, share_of_copies, synthesis_quality
from raresight.experiment.balancing import LATENT, split_balance
from raresight.images.manifest import Manifest
from raresight.images.preprocess import Preprocess
from raresight.images.splits import drop_anomalies
from raresight.images.store import ImageStore, build_store
from raresight.progress import Progress, silent
from raresight.represent import REPRESENTATIONS
from raresight.represent.backbones import OnnxBackbone, lite0_onnx
from raresight.represent.embedding import Embedding
from raresight.represent.pixels import Pixels, reduce_pixels
from raresight.spec import Spec, parse_spec

Array = NDArray[Any]
Rows = NDArray[np.int64]
Space = Literal["pixels", "embedding"]


@dataclass(frozen=True, slots=True)
class Synthesis:
    """One sampler's synthetic images.

    Attributes
    ----------
    balance : Spec
        As the user wrote it.
    neighbours, blend : str
        The spaces in which partners are sought and images made: pixels, embedding or latent.
    plan : SynthesisPlan
        Numbers the rows of `images`.
    images : (n, height, width, channels) array
        The real images.
    files : list of str
        Their names.
    labels : (n,) array
        Their classes, as the manifest has them.
    quality : SynthesisQuality
    seconds : float
        That the plan took, training included.
    """

    balance: Spec
    neighbours: str
    blend: str
    plan: SynthesisPlan
    images: Array
    files: list[str]
    labels: Array
    quality: SynthesisQuality
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Give everything but the images."""
        return {
            "balance": str(self.balance),
            "neighbours": self.neighbours,
            "blend": self.blend,
            "synthetic": len(self.plan),
            "seconds": round(self.seconds, 1),
            "quality": self.quality.as_dict(),
        }


def synthesise_images(
    images: Manifest,
    balance: Sequence[str],
    *,
    imbalance: float | None = None,
    limit: int | None = None,
    seed: int = 0,
    quality_in: Space = "embedding",
    preprocess: Preprocess | None = None,
    progress: Progress = silent,
) -> list[Synthesis]:
    """Balance a whole set with several samplers, to look at what they make.

    Parameters
    ----------
    images : Manifest
    balance : sequence of str
        Samplers, with options in brackets; ``neighbours`` (a representation) and ``blend`` (pixels or
        latent) name the spaces: ``"smote[neighbours=embedding,blend=pixels]"``.
    imbalance : float, optional
        Drop anomalies until there are so many normal images for each.
    limit : int, optional
        Take so many images only, drawn in proportion to the classes.
    seed : int
    quality_in : {"embedding", "pixels"}
        Where distances are measured for the figures of quality: lite0's features, or pixels at 112 × 112.
    preprocess : Preprocess, optional
    progress : callable, optional

    Returns
    -------
    list of Synthesis
        In the order of `balance`.

    Raises
    ------
    OptionError
        If a sampler is unknown, makes no image, or cannot work in the spaces named.
    """
    wanted = [_checked(text) for text in balance]
    if not wanted:
        raise OptionError("name at least one sampler, for example --balance smote")
    if imbalance is not None and imbalance < 1:
        raise OptionError(f"--imbalance {imbalance:g} is below 1; write 20 for 20 normal to 1 anomalous")
    if limit is not None:
        images = images.take(_share(images.y, limit, seed).tolist())
    store = build_store(images, preprocess, progress)
    y, rows = store.manifest.y, np.arange(len(store))
    if imbalance is not None:
        rows = drop_anomalies(y, store.manifest.groups(), rows, imbalance, seed)
    spaces = _Spaces(store, rows, progress)
    real = spaces.of(quality_in)
    found = []
    with progress("making synthetic images", len(wanted)) as tick:
        for spec, bare, neighbours, blend in wanted:
            start = time.perf_counter()
            plan = _plan(spaces, y[rows], spec, bare, neighbours, blend, seed)
            seconds = time.perf_counter() - start
            quality = _judge(spaces, plan, y[rows], real, quality_in, seed)
            files = [store.manifest.files[row] for row in rows]
            labels = store.manifest.labels[rows]
            found.append(
                Synthesis(spec, neighbours, blend, plan, spaces.images, files, labels, quality, seconds)
            )
            tick(1)
    return found


def some_of(plan: SynthesisPlan, rows: Rows, step: Array | None = None) -> SynthesisPlan:
    """Give the plan of some of its synthetic rows, if wanted at other steps."""
    return replace(
        plan,
        base=plan.base[rows],
        partner=plan.partner[rows],
        step=plan.step[rows] if step is None else np.asarray(step, np.float32),
        label=plan.label[rows],
        seed=None if plan.seed is None else plan.seed[rows],
        law=None if plan.law is None else plan.law.take(rows),
        donor=None if plan.donor is None else plan.donor[rows],
    )


class _Spaces:
    """The rows that are balanced, in each space, computed when first asked for."""

    def __init__(self, store: ImageStore, rows: Rows, progress: Progress) -> None:
        self.store, self.rows, self.progress = store, rows, progress
        whole = len(rows) == len(store)
        self.groups = store.manifest.groups()[rows]
        self.images: Array = store.pixels if whole else store.pixels[rows]

    def of(self, name: str) -> Array:
        if name == "embedding":
            Embedding().whole(self.store, self.progress)
        space = Spec(name).make(REPRESENTATIONS).fit(self.store, self.rows)
        return np.asarray(space.transform(self.store, self.rows))

    def made(self, images: Array, space: Space) -> Array:
        """Put new images into a space."""
        if space == "embedding":
            return OnnxBackbone(lite0_onnx()).embed(images, os.cpu_count() or 1)
        return reduce_pixels(images, Pixels().size)


def _checked(text: str) -> tuple[Spec, Spec, str, str]:
    """Read a sampler's spec: as written, without the spaces, and the spaces."""
    spec = parse_spec(text)
    bare, named = split_balance(spec)
    decoded = getattr(SAMPLERS[spec.name].load(), "images", False)
    own = LATENT if decoded else "pixels"
    neighbours = named["neighbours"].name if "neighbours" in named else own
    blend = spec.options.get("blend", own)
    if decoded and (neighbours, blend) != (LATENT, LATENT):
        raise OptionError(
            f"{spec.name} has a latent space of its own for neighbours and blend; "
            "to seek neighbours elsewhere write smote[neighbours=embedding,blend=latent]"
        )
    if blend not in ("pixels", LATENT):
        raise OptionError(f"cannot make images in {blend!r}; choose blend=pixels or blend=latent")
    bare.make(SAMPLERS)
    return spec, bare, neighbours, blend


def _plan(
    spaces: _Spaces, y: Array, spec: Spec, bare: Spec, neighbours: str, blend: str, seed: int
) -> SynthesisPlan:
    sampler = bare.make(SAMPLERS, random_state=seed)
    Z = spaces.images if neighbours == LATENT else spaces.of(neighbours)
    plan: SynthesisPlan = sampler.plan(Z, y, groups=spaces.groups)
    if not len(plan):
        raise OptionError(
            f"{spec} makes no synthetic image of this set; choose one that does, for example smote, "
            "and --imbalance 20 where the classes are balanced"
        )
    if blend == LATENT and neighbours != LATENT:
        from raresight.balance.latent import LatentSMOTE, decoded

        codec = LatentSMOTE(random_state=seed).fit_codec(spaces.images, y)
        plan = decoded(plan, codec, codec.encode(spaces.images))
    return plan


def _judge(
    spaces: _Spaces, plan: SynthesisPlan, y: Array, real: Array, space: Space, seed: int
) -> SynthesisQuality:
    """Judge at most as many synthetic rows as their classes have real ones: coverage grows with them."""
    labels = plan.hard_labels(y)[len(plan.keep) :]
    most = max(int(np.isin(y, np.unique(labels)).sum()), 2)
    some = np.sort(np.random.default_rng(seed).permutation(len(plan))[:most])
    made = some_of(plan, some).rows(spaces.images)
    copies = share_of_copies(spaces.images, made)
    return synthesis_quality(real, y, spaces.made(made, space), labels[some], copies=copies)


def _share(y: Array, limit: int, seed: int) -> Rows:
    """Draw rows in proportion to the classes, at least two of each."""
    if limit < 4:
        raise OptionError(f"--limit {limit} is too small; choose at least 4 images")
    random = np.random.default_rng(seed)
    kept = []
    for label in np.unique(y):
        rows = np.flatnonzero(y == label)
        kept.append(random.permutation(rows)[: max(2, round(limit * len(rows) / len(y)))])
    return np.sort(np.concatenate(kept))
