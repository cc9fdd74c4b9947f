"""A recipe: detector, representation and balance; and what comes of fitting it on training rows."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_softmax
from sklearn.preprocessing import StandardScaler

from raresight.balance import SAMPLERS
from raresight.balance.plan import SynthesisPlan
from raresight.detect import DETECTORS
from raresight.errors import OptionError
from raresight.evidence.thresholds import parse_rule
from raresight.experiment.balancing import Balancing, check_balance, split_balance
from raresight.images.masks import reduced_masks
from raresight.images.store import ImageStore
from raresight.represent import REPRESENTATIONS
from raresight.spec import Spec, parse_spec

Array = NDArray[Any]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is compared; its id reads ``svm@embedding+smote``.

    Attributes
    ----------
    model, representation, balance : Spec
    device : {"auto", "cpu", "cuda"}
        Where networks compute, unless the model's or the balance's own option says otherwise.
    """

    model: Spec
    representation: Spec
    balance: Spec
    device: str = "auto"

    @property
    def id(self) -> str:
        """The recipe in one word."""
        return f"{self.model}@{self.representation}+{self.balance}"

    def settings(self) -> dict[str, Any]:
        """Give the recipe's parts as text, and whether training it again with another seed differs."""
        return {
            "id": self.id,
            "model": str(self.model),
            "representation": str(self.representation),
            "balance": str(self.balance),
            "stochastic": bool(self.detector.stochastic),
        }

    @property
    def network(self) -> bool:
        """Whether the detector is a network: one inner split takes the place of inner folds."""
        return bool(self.detector.network)

    @property
    def one_class(self) -> bool:
        """Whether the detector learns from normal rows only."""
        return bool(self.detector.one_class)

    @property
    def needs_anomalies(self) -> bool:
        """Whether the detector can't learn without anomalies among the training rows."""
        return bool(self.detector.needs_anomalies)

    @property
    def detector(self) -> Any:
        """The detector, untrained, as the model's options make it."""
        return self.model.make(DETECTORS)

    @property
    def takes_device(self) -> bool:
        """Whether anything in the recipe could use a GPU."""
        parts = DETECTORS[self.model.name], SAMPLERS[self.balance.name]
        return any("device" in inspect.signature(part.load()).parameters for part in parts)

    @property
    def rule(self) -> str | None:
        """The threshold rule that the balance puts in place of the default one."""
        rule: str | None = getattr(split_balance(self.balance)[0].make(SAMPLERS), "rule", None)
        return None if rule is None else str(parse_rule(rule))

    def tuned(self, options: dict[str, dict[str, Any]]) -> Recipe:
        """Set options of the model and the balance that the user left open."""

        def merged(spec: Spec, found: dict[str, Any]) -> Spec:
            return Spec(spec.name, found | spec.options)

        return Recipe(
            merged(self.model, options.get("model", {})),
            self.representation,
            merged(self.balance, options.get("balance", {})),
            self.device,
        )

    def fit(
        self,
        store: ImageStore,
        rows: Rows,
        seed: int,
        groups: Array | None = None,
        validation: Rows | None = None,
    ) -> FittedRecipe:
        """Learn from some rows of a store, and from no other.

        Parameters
        ----------
        store : ImageStore
        rows : int64 array
            The training rows.
        seed : int
        groups : (len(store),) array, optional
            For samplers that heed them.
        validation : int64 array, optional
            Rows on which a network decides when to stop.
        """
        y = store.manifest.y[rows]
        space = self.representation.make(REPRESENTATIONS).fit(store, rows)
        X = space.transform(store, rows)
        balancing = Balancing.of(self.balance, store, rows, seed, groups, self.device)
        plan = balancing.plan(space, X, y)
        plan.check(len(rows))
        modality = store.preprocess.preset or "default"
        detector = self.model.make(
            DETECTORS,
            random_state=seed,
            augmentation=modality,
            device=self.device,
            blocks=getattr(space, "blocks_", None),
        )
        scaler = StandardScaler().fit(X) if detector.scaled and X.ndim == 2 else None
        if detector.network:
            masks = reduced_masks(store, X.shape[1]) if detector.masks else None
            held: tuple[Array, ...] | None = None
            if validation is not None:
                held = space.transform(store, validation), store.manifest.y[validation]
                held = held if masks is None else (*held, masks[validation])
            balancing.fit_network(detector, plan, space, X, y, held, None if masks is None else masks[rows])
        else:
            balancing.fit_classical(detector, plan, space, X, y, scaler)
        if store.manifest.task == "multiclass":
            return FittedRecipe(self, space, scaler, detector, plan, rows, shifts=balancing.shifts(y))
        shift, seen = balancing.shift(y), balancing.seen(plan, y)
        return FittedRecipe(self, space, scaler, detector, plan, rows, shift, seen)


@dataclass(frozen=True)
class FittedRecipe:
    """A recipe after training.

    Attributes
    ----------
    recipe : Recipe
    space, scaler, detector : objects
        The fitted parts.
    plan : SynthesisPlan
        Numbers the training rows 0 … n − 1.
    rows : int64 array
        The training rows.
    shift : float
        Added to every score: what a cost makes of the log odds.
    seen_prevalence : float
        Share of anomalies, by weight, that the detector's own probabilities are about.
    shifts : (classes,) array or None
        Of a multi-class task: what is added to every class's score.
    """

    recipe: Recipe
    space: Any
    scaler: StandardScaler | None
    detector: Any
    plan: SynthesisPlan
    rows: Rows
    shift: float = 0.0
    seen_prevalence: float = 0.5
    shifts: NDArray[np.float64] | None = None

    def seen(self, store: ImageStore, rows: Rows) -> Array:
        """Give rows as the detector sees them."""
        X: Array = self.space.transform(store, rows)
        return X if self.scaler is None else self.scaler.transform(X)

    def score(self, store: ImageStore, rows: Rows) -> NDArray[np.float64]:
        """Score rows, higher = more anomalous; of a multi-class task (n, classes), see `class_scores`."""
        return self._score(self.seen(store, rows))

    def _score(self, X: Array) -> NDArray[np.float64]:
        if self.shifts is not None:
            return class_scores(self.detector, X) + self.shifts
        return np.asarray(self.detector.decision_function(X), dtype=np.float64) + self.shift

    def predict(self, store: ImageStore, rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Score rows, with the detector's own probability of an anomaly (NaN where it has none)."""
        return self.predict_seen(self.seen(store, rows))

    def predict_seen(self, X: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Do the same for rows as the detector sees them."""
        score = self._score(X)
        if self.shift:
            return score, expit(score)
        if not hasattr(self.detector, "predict_proba"):
            return score, np.full(len(X), np.nan)
        return score, np.asarray(self.detector.predict_proba(X), dtype=np.float64)[:, 1]


SMALLEST_SHARE = 1e-6
"""A class without a vote is given this share, so that its logarithm is a number."""


def class_scores(detector: Any, X: Array) -> NDArray[np.float64]:
    """Give the logarithm of each class's share as a detector of several classes sees it, (n, classes).

    From its logits where it has them, which never round to certainty; else from its own shares.
    """
    if detector.logits or not hasattr(detector, "predict_proba"):
        logits = np.asarray(detector.decision_function(X), np.float64)
        return np.asarray(log_softmax(logits, axis=1), np.float64)
    shares = np.asarray(detector.predict_proba(X), np.float64)
    return np.asarray(np.log(np.clip(shares, SMALLEST_SHARE, 1)), np.float64)


def check_graded(recipes: Sequence[Recipe]) -> None:
    """Refuse recipes that cannot tell more than two classes apart.

    Raises
    ------
    OptionError
        If a detector knows normal and anomalous only, or a balance moves the threshold of one score.
    """
    for recipe in recipes:
        if not recipe.detector.multiclass:
            able = [name for name, entry in DETECTORS.items() if entry.load().multiclass]
            raise OptionError(
                f"{recipe.model.name} tells anomalous from normal only; --task multiclass takes: "
                f"{', '.join(able)}"
            )
        if recipe.rule is not None:
            raise OptionError(
                f"{recipe.balance.name} moves the threshold of one score, and --task multiclass has none; "
                "logit-adjustment and class-weight are its kin"
            )


def make_recipes(
    models: Sequence[str],
    balance: Sequence[str],
    representation: str | Sequence[str] | None = None,
) -> list[Recipe]:
    """Cross models with balances (and representations).

    A one-class detector has no use for a balance: it stands there once, with ``none``.

    Parameters
    ----------
    models, balance : sequences of str
        Names, with options in brackets if need be.
    representation : str or sequence of str, optional
        By default what each model sees: networks pixels, the others the embedding.

    Raises
    ------
    OptionError
        If a name or option is unknown, or nothing is named.
    """
    if not models or not balance:
        raise OptionError(
            f"name at least one {'model' if not models else 'balance'}, for example "
            f"{'--models svm' if not models else '--balance none,smote'}"
        )
    spaces = [representation] if isinstance(representation, str) else list(representation or [])
    recipes: list[Recipe] = []
    for model in map(parse_spec, models):
        detector = model.make(DETECTORS)
        for space in _spaces(detector, spaces):
            space.make(REPRESENTATIONS)
            for balancing in [Spec("none")] if detector.one_class else map(parse_spec, balance):
                check_balance(balancing, detector, space)
                recipe = Recipe(model, space, balancing)
                if recipe not in recipes:
                    recipes.append(recipe)
    return recipes


def _spaces(detector: Any, named: list[str]) -> list[Spec]:
    """Give the representations named that a detector can take, or else its own."""
    specs = [parse_spec(space) for space in named]
    if detector.takes is not None:
        specs = [space for space in specs if space.name in detector.takes]
    return specs or [parse_spec(detector.sees)]


def recipe_notices(recipes: Sequence[Recipe], balance: Sequence[str]) -> list[str]:
    """Say which recipes were left out, or learn from less than the user may think.

    Parameters
    ----------
    recipes : sequence of Recipe
        As `make_recipes` gave them.
    balance : sequence of str
        As the user named them.
    """
    names = list(dict.fromkeys(recipe.model.name for recipe in recipes if recipe.one_class))
    if not names:
        return []
    are = "learn" if len(names) > 1 else "learns"
    told = [
        f"{', '.join(names)} {are} from normal images only; anomalies among the training rows serve for "
        "calibration and learned thresholds, and the default threshold is the 95 % quantile of normal scores"
    ]
    skipped = [name for name in balance if parse_spec(name).name != "none"]
    if skipped:
        told.append(f"{', '.join(skipped)} with {', '.join(names)} was skipped: there is nothing to balance")
    return told
