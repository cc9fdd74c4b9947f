"""The balance of a recipe at work: in which space neighbours are sought, in which rows are blended."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from raresight.balance import SAMPLERS
from raresight.balance.neighbours import Gram
from raresight.balance.plan import SynthesisPlan
from raresight.errors import OptionError
from raresight.evidence.thresholds import parse_rule
from raresight.images.store import ImageStore
from raresight.represent import REPRESENTATIONS
from raresight.spec import Spec, parse_spec

Array = NDArray[Any]
Rows = NDArray[np.int64]

SPACES = ("neighbours", "blend")
"""Options of a balance that name a representation and are settled here, not by the sampler."""

LATENT = "latent"
"""A blend between the codes of an autoencoder trained on the same rows; its decoder makes images."""


def split_balance(balance: Spec) -> tuple[Spec, dict[str, Spec]]:
    """Part a balance into the sampler with its own options, and the spaces named for it."""
    spaces = {o: parse_spec(balance.options[o]) for o in SPACES if balance.options.get(o) in REPRESENTATIONS}
    if balance.options.get("blend") == LATENT:
        spaces["blend"] = Spec(LATENT)
    own = {key: value for key, value in balance.options.items() if key not in spaces}
    return Spec(balance.name, own), spaces


def check_balance(balance: Spec, detector: Any, seen: Spec) -> None:
    """Refuse, before any work, a balance that a detector has no place for.

    Parameters
    ----------
    balance : Spec
    detector : Detector
    seen : Spec
        The representation that the detector sees.

    Raises
    ------
    OptionError
        If the name or an option is unknown, or it does not go with the detector or the spaces.
    """
    sampler_spec, spaces = split_balance(balance)
    sampler = sampler_spec.make(SAMPLERS)
    if getattr(sampler, "rule", None) is not None:
        parse_rule(sampler.rule)
    needs = getattr(sampler, "needs", None)
    if (needs == "network" and not detector.network) or (needs == "logits" and not detector.logits):
        what = "a loss of its own" if needs == "network" else "log odds for a score"
        raise OptionError(
            f"{balance.name} needs a detector with {what}, which {type(detector).__name__} has not; "
            "it takes class-weight, class-balanced and threshold"
        )
    if getattr(sampler, "images", False) and spaces:
        raise OptionError(
            f"{balance.name} has a latent space of its own for neighbours and blend; "
            "to seek neighbours elsewhere write smote[neighbours=embedding,blend=latent]"
        )
    blend = spaces.get("blend")
    drawn = getattr(sampler, "images", False) or (blend is not None and blend.name != seen.name)
    if drawn and detector.network and seen.name != "pixels":
        raise OptionError(
            f"{balance.name} makes images, and {type(detector).__name__} learns from {seen.name} as it is "
            "kept; leave out blend, or choose a network that learns from pixels"
        )
    if blend is not None and blend.name not in ("pixels", LATENT, seen.name):
        raise OptionError(
            f"rows blended as {blend} cannot be turned into {seen}, which {type(detector).__name__} sees; "
            f"blend in pixels, latent or {seen.name}"
        )


@dataclass(frozen=True)
class Balancing:
    """A sampler or cost, on the training rows of one fit.

    Attributes
    ----------
    sampler : PlanSampler
    spaces : dict of Spec
        ``neighbours`` and ``blend``, where they are not what the detector sees.
    store : ImageStore
    rows : int64 array
        The training rows.
    groups : array or None
        Of the training rows.
    device : {"auto", "cpu", "cuda"}
        Where a latent space is learned.
    """

    sampler: Any
    spaces: dict[str, Spec]
    store: ImageStore
    rows: Rows
    groups: Array | None
    device: str = "auto"

    @classmethod
    def of(
        cls,
        balance: Spec,
        store: ImageStore,
        rows: Rows,
        seed: int,
        groups: Array | None,
        device: str = "auto",
    ) -> Balancing:
        """Build the sampler that a balance names."""
        sampler_spec, spaces = split_balance(balance)
        sampler = sampler_spec.make(SAMPLERS, random_state=seed, device=device)
        return cls(sampler, spaces, store, rows, None if groups is None else groups[rows], device)

    def plan(self, space: Any, X: Array, y: Array) -> SynthesisPlan:
        """Decide which rows stay and which are blended.

        Parameters
        ----------
        space : representation
            The fitted one that the detector sees.
        X : (n, ...) array
            The training rows in it.
        y : (n,) int array
        """
        if getattr(self.sampler, "images", False):
            found: SynthesisPlan = self.sampler.plan(self._canvas(X), y, groups=self.groups)
            return found
        Z, named = X, self.spaces.get("neighbours")
        if named is not None:
            space = named.make(REPRESENTATIONS).fit(self.store, self.rows)
            Z = space.transform(self.store, self.rows)
        gram = shared_gram(self.store, space) if self.sampler.distances else None
        sliced = None if gram is None else gram.take(self.rows)
        plan: SynthesisPlan = self.sampler.plan(Z, y, groups=self.groups, gram=sliced)
        return plan if self._blend != LATENT else self._in_latent(plan, X, y)

    @property
    def _blend(self) -> str | None:
        """Where rows are blended, if not where the detector sees them."""
        if getattr(self.sampler, "images", False):
            return LATENT
        named = self.spaces.get("blend")
        return None if named is None else named.name

    def _canvas(self, X: Array) -> Array:
        """Give the training rows as images: those that the detector sees, or else the store's."""
        return X if X.ndim > 2 else self.store.pixels[self.rows]

    def _in_latent(self, plan: SynthesisPlan, X: Array, y: Array) -> SynthesisPlan:
        from raresight.balance.latent import LatentSMOTE, decoded

        if not len(plan):
            return plan
        images = self._canvas(X)
        codec = LatentSMOTE(random_state=self.sampler.random_state, device=self.device).fit_codec(images, y)
        return decoded(plan, codec, codec.encode(images))

    def fit_classical(
        self,
        detector: Any,
        plan: SynthesisPlan,
        space: Any,
        X: Array,
        y: Array,
        scaler: StandardScaler | None,
    ) -> None:
        """Fit a detector on the balanced rows, made at once; soft labels become weighted rows."""
        index, labels, weight = plan.weighted(y)
        balanced = self.balanced(plan, space, X)
        if len(index) != len(balanced):
            balanced = balanced[index]
        cost = self._weights(y)
        if cost is not None:
            weight = cost
        ready = balanced if scaler is None else scaler.transform(balanced)
        detector.fit(ready, labels, sample_weight=None if (weight == 1).all() else weight)

    def fit_network(
        self,
        detector: Any,
        plan: SynthesisPlan,
        space: Any,
        X: Array,
        y: Array,
        held: tuple[Array, Array] | None,
    ) -> None:
        """Fit a network on the balanced rows, each made in the batch that uses it."""
        loss = self.sampler.loss(y) if hasattr(self.sampler, "loss") else None
        if loss is not None:
            detector.set_params(loss=loss)
        detector.fit(plan.view(X), plan.labels(y), sample_weight=self._weights(y), validation=held)

    def shift(self, y: Array) -> float:
        """Give what is added to every score."""
        return float(self.sampler.logit_shift(y)) if hasattr(self.sampler, "logit_shift") else 0.0

    def seen(self, plan: SynthesisPlan, y: Array) -> float:
        """Give the share of anomalies, by weight, that the detector's probabilities are about.

        A loss that weighs classes by itself (focal) is not looked into.
        """
        _, labels, weight = plan.weighted(y)
        cost = self._weights(y)
        weight = weight if cost is None else cost
        odds = weight[labels == 1].sum() / weight[labels != 1].sum() * np.exp(self.shift(y))
        return float(odds / (1 + odds))

    def _weights(self, y: Array) -> NDArray[np.float64] | None:
        """Give the weights of a cost, which keeps every row."""
        if not hasattr(self.sampler, "sample_weight"):
            return None
        weights: NDArray[np.float64] | None = self.sampler.sample_weight(y)
        return weights

    def balanced(self, plan: SynthesisPlan, space: Any, X: Array) -> Array:
        """Give the rows kept, then the synthetic ones, as the detector sees them."""
        if self._blend not in ("pixels", LATENT) or X.ndim > 2 or not len(plan):
            return plan.balanced(X)
        made = [space.of(batch) for batch in plan.batches(self._canvas(X))]
        return np.concatenate([X[plan.keep], *made])


DISK_SHARE = 0.25
"""How much of the free disk a Gram matrix may take: while it is made it may stand there twice."""


def prepare_gram(store: ImageStore, balance: Spec, seen: Spec) -> None:
    """Make the Gram matrix that a balance's fits will share, if it needs one.

    Parameters
    ----------
    store : ImageStore
    balance : Spec
    seen : Spec
        The representation that the detector sees.
    """
    sampler, spaces = split_balance(balance)
    if SAMPLERS[sampler.name].load().distances:
        make_gram(store, spaces.get("neighbours", seen).make(REPRESENTATIONS))


def shared_gram(store: ImageStore, space: Any) -> Gram | None:
    """Give the Gram matrix of a whole set in a space that isn't learned, if it was made before."""
    path = gram_path(store, space)
    if path is None or not path.exists():
        return None
    return Gram(np.load(path, mmap_mode="r"))


def make_gram(store: ImageStore, space: Any) -> None:
    """Compute and keep the Gram matrix of a whole set in a space that isn't learned, if the disk has room.

    Without it every fit computes the distances that it needs.
    """
    path = gram_path(store, space)
    if path is None or path.exists():
        return
    if 4 * len(store) ** 2 > shutil.disk_usage(store.folder).free * DISK_SHARE:
        return
    store.derived(path.stem, lambda: Gram.of(space.whole(store)).inner)


def gram_path(store: ImageStore, space: Any) -> Path | None:
    """Name the file of a space's Gram matrix; None where the space is learned from training rows."""
    if space.learned:
        return None
    plain = "-".join(str(value) for name, value in vars(space).items() if not name.endswith("_"))
    settings = getattr(space, "key", plain)
    return store.folder / f"gram-{type(space).__name__.lower()}-{settings}.npy"
