"""What a comparison is to do: recipes × splits, planned before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from raresight.errors import OptionError
from raresight.evidence.calibration import UNCALIBRATED
from raresight.evidence.thresholds import DEFAULT_RULES
from raresight.experiment.external import External, prepare_external
from raresight.experiment.leaky import LeakyTask, leaky_tasks
from raresight.experiment.protocol import TEMPERATURE, Protocol
from raresight.experiment.recipe import Recipe, check_graded, make_recipes, recipe_notices
from raresight.experiment.settings import run_settings
from raresight.experiment.task import Task
from raresight.images.grouping import Grouping, group_images, grouping_sentences, grouping_warnings
from raresight.images.manifest import Manifest
from raresight.images.preprocess import Preprocess
from raresight.images.store import ImageStore, build_store
from raresight.images.subgroups import subgroups_of
from raresight.progress import Progress, Say, silent


@dataclass(frozen=True)
class Work:
    """Everything that a comparison is going to do, settled before the first task.

    Attributes
    ----------
    store : ImageStore
    grouping : Grouping
    protocol : Protocol
    tasks : list of Task
    leaky : list of LeakyTask
    external : External or None
    settings : dict
        What ``run.json`` will hold.
    notices : list of str
        Which recipes were left out, and the like.
    subgroups : pandas.DataFrame or None
        ``row`` and the subgroups that it belongs to, where any were asked for.
    """

    store: ImageStore
    grouping: Grouping
    protocol: Protocol
    tasks: list[Task]
    leaky: list[LeakyTask]
    external: External | None
    settings: dict[str, Any]
    notices: list[str]
    subgroups: pd.DataFrame | None = None

    @property
    def identity(self) -> str:
        """Hash of all that decides the predictions."""
        return str(self.settings["identity"])

    def tell(self, say: Say) -> None:
        """Say what was left out, what stays together, and what groups cannot rule out."""
        for sentence in self.notices:
            say(sentence)
        known = self.protocol.groups, self.settings["data"]
        for sentence in grouping_sentences(*known):
            say(sentence)
        for sentence in grouping_warnings(*known):
            say(f"warning: {sentence}")


def plan_work(
    images: Manifest,
    models: Sequence[str],
    balance: Sequence[str],
    *,
    representation: str | Sequence[str] | None = None,
    external: Manifest | None = None,
    leaky_twin: bool = False,
    size: int = 224,
    resize: str = "letterbox",
    preprocess: str | None = None,
    neutralise: Sequence[str] = (),
    device: str = "auto",
    by: Sequence[str] = (),
    command: str | None = None,
    progress: Progress = silent,
    **judging: Any,
) -> Work:
    """Check everything that can be checked, decode the images, and list the tasks; see `compare`.

    Parameters
    ----------
    **judging
        Fields of `Protocol`.
    """
    protocol = Protocol(**_judging(images, judging))
    recipes = _on_device(make_recipes(models, balance, representation), device)
    if protocol.anomalies == 0:
        _check_without_anomalies(recipes)
    if protocol.inner_folds == 0:
        _check_without_inner(recipes)
    if protocol.task == "multiclass":
        _check_graded(images, recipes, external, leaky_twin, by)
    subgroups_of(images, by)  # what cannot be asked is refused before anything is decoded
    images.groups(protocol.groups)
    if protocol.split == "published":
        images.parts()
    seen_as = Preprocess(size, resize, preprocess, tuple(neutralise))  # type: ignore[arg-type]
    store = build_store(images, seen_as, progress)
    grouping = group_images(images, store, protocol.groups, progress)
    parts = store.manifest.parts() if protocol.split == "published" else None
    known = store.manifest.labels if protocol.task == "multiclass" else store.manifest.y
    splits = list(protocol.splits(known, grouping.names, parts))
    other = None if external is None else prepare_external(external, store, progress)
    return Work(
        store,
        grouping,
        protocol,
        [Task(recipe, split) for split in splits for recipe in recipes],
        leaky_tasks(recipes, protocol) if leaky_twin else [],
        other,
        run_settings(store, grouping, recipes, protocol, command, splits[0], other),
        recipe_notices(recipes, balance),
        subgroups_of(store.manifest, by) if by else None,
    )


def _judging(images: Manifest, judging: dict[str, Any]) -> dict[str, Any]:
    """Settle what the task decides: the calibration by default, and thresholds only where a score is cut."""
    many = images.task == "multiclass"
    settled = {**judging, "task": images.task}
    bare = settled.get("inner_folds") == 0
    if settled.get("calibration") is None:
        settled["calibration"] = UNCALIBRATED if bare else TEMPERATURE if many else "beta"
    if (many or bare) and tuple(settled.get("thresholds", DEFAULT_RULES)) == DEFAULT_RULES:
        settled["thresholds"] = ()
    return settled


def _check_graded(
    images: Manifest,
    recipes: Sequence[Recipe],
    external: Manifest | None,
    leaky_twin: bool,
    by: Sequence[str],
) -> None:
    """Refuse what a multi-class comparison has no place for."""
    if len(images.classes) < FEWEST_CLASSES:
        raise OptionError(
            f"{images.name} has two classes, {' and '.join(images.classes)}; leave out --task multiclass and "
            "name the normal one with --normal"
        )
    asked = ((external is not None, "--external"), (leaky_twin, "--leaky-twin"), (bool(by), "--by"))
    for given, option in asked:
        if given:
            raise OptionError(
                f"{option} judges normal against anomalous and is not there for --task multiclass; "
                "leave either out"
            )
    check_graded(recipes)


FEWEST_CLASSES = 3
"""With two there is a normal and an anomalous one, and the binary task says more of them."""


def _check_without_anomalies(recipes: Sequence[Recipe]) -> None:
    """Refuse recipes that cannot do without an anomaly among the training rows."""
    names = dict.fromkeys(recipe.model.name for recipe in recipes if recipe.needs_anomalies)
    if names:
        raise OptionError(
            f"--anomalies 0 leaves {', '.join(names)} nothing to learn from; name one-class models"
        )
    balances = [str(recipe.balance) for recipe in recipes if recipe.balance.name != "none"]
    if balances:
        raise OptionError(f"--anomalies 0 leaves {balances[0]} nothing to balance; write --balance none")


def _check_without_inner(recipes: Sequence[Recipe]) -> None:
    """Refuse recipes whose threshold is learned from inner folds."""
    names = [r.id for r in recipes if r.rule is not None or r.detector.default_threshold is None]
    if names:
        raise OptionError(
            f"--inner-folds 0 leaves {names[0]} nothing to learn its threshold from; leave it out, or give "
            "--inner-folds 2 or more"
        )


def _on_device(recipes: list[Recipe], choice: str) -> list[Recipe]:
    """Settle where networks compute, once for all workers; torch is loaded only if something asks for it."""
    if choice == "auto" and not any(recipe.takes_device for recipe in recipes):
        return recipes
    from raresight.networks.training import find_device

    found = find_device(choice)
    return [replace(recipe, device=found) for recipe in recipes]
