"""The balance of a recipe at work: in which space neighbours are sought, in which rows are blended.

**Missing values** (`cases`): neighbours are sought with the training rows' means filled in, so that a missing
image is as far from everyone as the average one. A synthetic row lacks what its base lacks, and keeps the
base's own value where another parent lacks it.

**Nominal columns**: SMOTE-NC votes on them, and gives a synthetic row another row's value whole; other
samplers blend them like numbers.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from raresight.balance import SAMPLERS
from raresight.balance.base import SelectingSampler
from raresight.balance.costs import Cost
from raresight.balance.neighbours import Gram
from raresight.balance.plan import SynthesisPlan, no_synthesis
from raresight.balance.resampling import NoSampler
from raresight.errors import OptionError
from raresight.evidence.thresholds import parse_rule
from raresight.images.cache import open_array
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
    if (needs == "network" and "loss" not in detector.get_params()) or (
        needs == "logits" and not detector.logits
    ):
        what = "a loss of its own" if needs == "network" else "log odds for a score"
        raise OptionError(
            f"{balance.name} needs a detector with {what}, which {type(detector).__name__} has not; "
            "it takes class-weight, class-balanced and threshold"
        )
    if detector.masks and not isinstance(sampler, (SelectingSampler, Cost)):
        raise OptionError(
            f"{balance.name} makes images whose lesions nobody marked, and {type(detector).__name__} learns "
            "from masks; it takes none, random-over, random-under and class-weight"
        )
    if getattr(sampler, "images", False) and spaces:
        raise OptionError(
            f"{balance.name} has a latent space of its own for neighbours and blend; "
            "to seek neighbours elsewhere write smote[neighbours=embedding,blend=latent]"
        )
    _check_cases(balance, spaces, getattr(sampler, "images", False), seen)
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


def _check_cases(balance: Spec, spaces: dict[str, Spec], images: bool, seen: Spec) -> None:
    """Refuse what cannot be done with cases of several images and a table, or only with these."""
    if seen.name == "cases":
        blend = spaces.get("blend")
        if images or (blend is not None and blend.name != "cases"):
            raise OptionError(
                f"{balance} makes images, and a case is several of them and a table; "
                "blend rows of features: smote"
            )
    if balance.name == "smote-nc" and (seen.name != "cases" or "table" not in seen.options or spaces):
        raise OptionError(
            "smote-nc needs nominal columns beside the images, and seeks neighbours among both; "
            "name some: --representation cases[table=age+sex], without neighbours and blend"
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
        if isinstance(self.sampler, NoSampler):
            return no_synthesis(np.arange(len(y)), y)  # of one class, too: a one-class detector's normal rows
        if getattr(self.sampler, "images", False):
            found: SynthesisPlan = self.sampler.plan(self._canvas(X), y, groups=self.groups)
            return found
        Z, named = X, self.spaces.get("neighbours")
        if named is not None:
            space = named.make(REPRESENTATIONS).fit(self.store, self.rows)
            Z = space.transform(self.store, self.rows)
        if Z.dtype.kind == "f":
            Z = filled_in(Z)
        if hasattr(self.sampler, "categorical_features"):
            Z = self._with_codes(space, Z)
        gram = shared_gram(self.store, space) if self.sampler.distances else None
        sliced = None if gram is None else gram.take(self.rows)
        plan: SynthesisPlan = self.sampler.plan(Z, y, groups=self.groups, gram=sliced)
        return plan if self._blend != LATENT else self._in_latent(plan, X, y)

    def _with_codes(self, space: Any, Z: Array) -> Array:
        """Give the numbers, then a code for each nominal column, as SMOTE-NC takes them."""
        if not space.nominal_:
            raise OptionError(
                "smote-nc needs a nominal column and all that are named hold numbers; name another in "
                "--representation cases[table=…] or use smote"
            )
        slices = [Z[:, first:last] for first, last in space.nominal_]
        codes = [np.where(values.any(axis=1), values.argmax(axis=1), -1) for values in slices]
        numeric = np.ones(Z.shape[1], bool)
        for first, last in space.nominal_:
            numeric[first:last] = False
        numbers = Z[:, numeric]
        count = numbers.shape[1]
        self.sampler.set_params(categorical_features=list(range(count, count + len(codes))))
        return np.column_stack([numbers, *codes])

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
        weights = None if (weight == 1).all() else weight
        if detector.grouped and self.groups is not None:
            # A synthetic row belongs to its base's group.
            groups = np.concatenate([self.groups[plan.keep], self.groups[plan.base]])[index]
            detector.fit(ready, labels, groups=groups, sample_weight=weights)
        else:
            detector.fit(ready, labels, sample_weight=weights)

    def fit_network(
        self,
        detector: Any,
        plan: SynthesisPlan,
        space: Any,
        X: Array,
        y: Array,
        held: tuple[Array, ...] | None,
        masks: Array | None = None,
    ) -> None:
        """Fit a network on the balanced rows, each made in the batch that uses it.

        `masks`, (n, h, w) where the detector learns from them, are chosen as the rows are.
        """
        loss = self.sampler.loss(y) if hasattr(self.sampler, "loss") else None
        if loss is not None:
            detector.set_params(loss=loss)
        more = {} if masks is None else {"masks": plan.view(masks)}
        detector.fit(plan.view(X), plan.labels(y), sample_weight=self._weights(y), validation=held, **more)

    def shift(self, y: Array) -> float:
        """Give what is added to every score."""
        return float(self.sampler.logit_shift(y)) if hasattr(self.sampler, "logit_shift") else 0.0

    def shifts(self, y: Array) -> NDArray[np.float64]:
        """Give what is added to every class's score, (classes,)."""
        if hasattr(self.sampler, "class_shifts"):
            return np.asarray(self.sampler.class_shifts(y), np.float64)
        return np.zeros(int(y.max()) + 1)

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
            return _completed(plan, X, plan.balanced(X), getattr(space, "nominal_", ()))
        made = [space.of(batch) for batch in plan.batches(self._canvas(X))]
        return np.concatenate([X[plan.keep], *made])


def filled_in(Z: Array) -> Array:
    """Fill each NaN of (n, …) floats with its feature's mean over the rows, 0 where all are missing."""
    empty = np.isnan(Z)
    if not empty.any():
        return Z
    counts = np.maximum((~empty).sum(axis=0), 1)
    means = np.where(empty, 0, Z).sum(axis=0, dtype=np.float64) / counts
    return np.where(empty, means, Z).astype(Z.dtype)


def _completed(plan: SynthesisPlan, X: Array, balanced: Array, nominal: Any) -> Array:
    """Settle what is missing in the synthetic rows, and their nominal columns where a plan has voted."""
    if X.dtype.kind != "f" or not len(plan):
        return balanced
    made = balanced[len(plan.keep) :]
    empty = np.isnan(made)
    if empty.any():
        made[empty] = X[plan.base][empty]
    if plan.donor is not None:
        for (first, last), donor in zip(nominal, plan.donor.T, strict=True):
            made[:, first:last] = X[donor, first:last]
    return balanced


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
    return Gram(open_array(path))


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
