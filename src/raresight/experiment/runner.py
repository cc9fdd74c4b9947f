"""Recipes × splits → a run."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from raresight.errors import OptionError, RunError
from raresight.evidence.thresholds import DEFAULT_RULES
from raresight.experiment.balancing import prepare_gram
from raresight.experiment.external import External, prepare_external
from raresight.experiment.leaky import LeakyTask, leaky_tasks, run_leaky
from raresight.experiment.protocol import TEMPERATURE, Protocol, Splitting
from raresight.experiment.recipe import Recipe, check_graded, make_recipes, recipe_notices
from raresight.experiment.run import Run, locked, open_run
from raresight.experiment.settings import run_settings
from raresight.experiment.task import Failure, Result, Task, try_task
from raresight.experiment.workers import run_in_workers
from raresight.images.grouping import Grouping, group_images, grouping_sentences, grouping_warnings
from raresight.images.manifest import Manifest
from raresight.images.masks import stored_masks
from raresight.images.preprocess import Preprocess
from raresight.images.store import ImageStore, build_store
from raresight.images.subgroups import subgroups_of
from raresight.progress import Progress, Say, silent, unsaid
from raresight.represent import REPRESENTATIONS


def compare(
    images: Manifest,
    models: Sequence[str] = ("svm", "rf"),
    balance: Sequence[str] = ("none", "smote"),
    *,
    representation: str | Sequence[str] | None = None,
    folds: int = 5,
    repeats: int = 1,
    inner_folds: int = 3,
    tune: int = 0,
    imbalance: float | None = None,
    anomalies: int | None = None,
    seed: int = 0,
    groups: str = "auto",
    calibration: str | None = None,
    thresholds: Sequence[str] = DEFAULT_RULES,
    prevalence: float | None = None,
    split: Splitting = "folds",
    external: Manifest | None = None,
    leaky_twin: bool = False,
    size: int = 224,
    resize: str = "letterbox",
    preprocess: str | None = None,
    neutralise: Sequence[str] = (),
    device: str = "auto",
    by: Sequence[str] = (),
    workers: int | None = None,
    out: str | Path | None = None,
    command: str | None = None,
    progress: Progress = silent,
    say: Say = unsaid,
) -> Run:
    """Compare recipes on a labelled image set, leak-free, and keep everything in a run.

    A manifest of more than two classes (``task="multiclass"``) is graded: the likeliest class is called,
    and no anomaly, threshold, external set or leaky twin comes into it.

    The same call again resumes a run that was cut short, or gives the finished one. A recipe whose training
    fails, for instance because it diverges, is left out and named; the same call again tries it anew.

    Parameters
    ----------
    images : Manifest
        From `raresight.load`.
    models, balance : sequences of str
        Names that ``raresight list`` shows, options in brackets: ``"smote[k_neighbors=3]"``.
    representation : str or sequence of str, optional
        What the models other than networks see; ``"embedding"`` by default.
    folds, repeats, inner_folds, tune, imbalance, anomalies, seed, groups, calibration, thresholds, \
prevalence, split
        See `Protocol`; by default `calibration` is ``"beta"``, with several classes ``"temperature"``.
    external : Manifest, optional
        Another labelled set that every fold's recipes are scored on too; images that also stand in `images`
        are left out of it.
    leaky_twin : bool
        Whether recipes with a sampler are repeated the way it is often published, balanced before the split.
        A run that has none gets it from the same call with this set.
    size : int
        Side in pixels to which images are resized.
    resize : {"letterbox", "stretch"}
    preprocess : {"fundus", "mri", "ct", "xray"}, optional
        What is done before resizing.
    neutralise : sequence of {"border", "background", "aspect", "intensity"}
        What is made the same for every image, to see what is left of a result without it; see
        `raresight.images.neutralise`.
    device : {"auto", "cpu", "cuda"}
        Where networks compute; ``"auto"`` takes a GPU when there is one.
    by : sequence of str
        Columns whose subgroups are judged apart: ``"sex"``, ``"age:10"`` in bins of ten. The run keeps which
        subgroup each image belongs to, and nothing else of the columns.
    workers : int, optional
        Worker processes; as many as there are cores. The result does not depend on it.
    out : path, optional
        The run's folder; by default ``runs/<hash of manifest and settings>``.
    command : str, optional
        What the user typed, kept in ``run.json``.
    progress : callable, optional
        See `raresight.progress`.
    say : callable, optional
        Told, before the first task, what stays together and what groups cannot rule out; and what failed.

    Returns
    -------
    Run

    Raises
    ------
    DataError, OptionError, RunError
        If the set, an option or the folder cannot be used; RunError also if every recipe's training failed.
    LeakageError
        If anything learned from a test row; a defect in raresight.
    """
    work = plan_work(
        images,
        models,
        balance,
        representation=representation,
        folds=folds,
        repeats=repeats,
        inner_folds=inner_folds,
        tune=tune,
        imbalance=None if imbalance is None else float(imbalance),  # 20 and 20.0 are one run
        anomalies=anomalies,
        seed=seed,
        groups=groups,
        calibration=calibration,
        thresholds=tuple(thresholds),
        prevalence=prevalence,
        split=split,
        external=external,
        leaky_twin=leaky_twin,
        size=size,
        resize=resize,
        preprocess=preprocess,
        neutralise=neutralise,
        device=device,
        by=by,
        command=command,
        progress=progress,
    )
    work.tell(say)
    path = Path(out) if out is not None else Path("runs") / work.identity[:12]
    return carry_out(work, path, workers or os.cpu_count() or 1, progress, say)


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
    if settled.get("calibration") is None:
        settled["calibration"] = TEMPERATURE if many else "beta"
    if many and tuple(settled.get("thresholds", DEFAULT_RULES)) == DEFAULT_RULES:
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


def carry_out(
    work: Work,
    path: Path,
    workers: int,
    progress: Progress = silent,
    say: Say = unsaid,
    *,
    weigh: bool = True,
) -> Run:
    """Do what is not done yet in a run's folder, and weigh the evidence if that is wanted at once.

    Raises
    ------
    RunError
        If every recipe failed.
    """
    store = work.store
    with locked(path):
        run = open_run(path, work.settings, [(r.file, r.reason) for r in store.manifest.rejected])
        run.keep_subgroups(work.subgroups)
        waiting = [task for task in work.tasks if not run.has(task)]
        leaky = [task for task in work.leaky if not run.has_leaky(task)]
        if waiting or leaky:
            for weighed in ("metrics.json", "verdicts.json"):
                (path / weighed).unlink(missing_ok=True)
            prepare_spaces(store, [*waiting, *leaky], progress)
        if waiting:
            if work.external is not None:
                prepare_spaces(work.external.store, waiting, progress, distances=False)
            _work(waiting, work, run, workers, progress)
            for sentence in run.failure_sentences:
                say(f"warning: {sentence}")
            if weigh and {task.recipe.id for task in work.tasks} <= run.failed_recipes:
                raise RunError(f"every recipe failed; {run.failure_sentences[0]}")
        leaky = [task for task in leaky if task.recipe.id not in run.failed_recipes]
        if leaky:
            _leak(leaky, work, run, workers, progress)
        if weigh:
            with progress("weighing the evidence", 1) as tick:
                _ = run.metrics
                tick(1)
    return run


def prepare_spaces(
    store: ImageStore, tasks: Sequence[Task | LeakyTask], progress: Progress, distances: bool = True
) -> None:
    """Compute once, before the workers start, what they all read: representations and distances.

    Parameters
    ----------
    store : ImageStore
    tasks : sequence of Task or LeakyTask
    progress : callable
    distances : bool
        False for a set that nothing is learned from.
    """
    spaces = {str(t.recipe.representation): t.recipe.representation for t in tasks}
    for spec in spaces.values():
        space = spec.make(REPRESENTATIONS)
        if not space.learned:
            space.whole(store, progress)
        elif hasattr(space, "prepare"):
            space.prepare(store, progress)
    if not distances:
        return
    for recipe in {t.recipe.id: t.recipe for t in tasks}.values():
        if recipe.detector.masks:
            stored_masks(store)
        prepare_gram(store, recipe.balance, recipe.representation)


def _work(tasks: Sequence[Task], work: Work, run: Run, workers: int, progress: Progress) -> None:
    # Networks take longest: begun first, they don't leave the other cores idle at the end.
    tasks = sorted(tasks, key=lambda task: not task.recipe.network)
    external = work.external
    if external is not None:
        external = replace(external, store=_light(external.store))
    calls = [(task, _light(work.store), work.grouping.names, work.protocol, external) for task in tasks]
    with progress("training and testing", len(tasks)) as tick:
        run_tasks(try_task, calls, run, workers, tick)


def run_tasks(
    function: Callable[..., Result | Failure],
    calls: Sequence[tuple[Any, ...]],
    run: Run,
    workers: int,
    tick: Callable[[int], None],
) -> None:
    """Carry tasks out in worker processes and keep each one's result, or why it failed.

    Parameters
    ----------
    function : callable
        Picklable.
    calls : sequence of tuple
        Its arguments, the task first.
    run : Run
        Where results are kept.
    workers : int
    tick : callable
        Told of each task that ended.
    """
    tasks: list[Task] = [call[0] for call in calls]
    failed: list[tuple[Task, str]] = []
    run.write_failed(failed)
    for number, result in run_in_workers(function, calls, min(workers, len(tasks))):
        if isinstance(result, Failure):
            failed.append((tasks[number], result.reason))
            run.write_failed(failed)
        else:
            run.write(tasks[number], result)
        tick(1)


def _leak(tasks: Sequence[LeakyTask], work: Work, run: Run, workers: int, progress: Progress) -> None:
    calls = [(task, _light(work.store), work.protocol) for task in tasks]
    with progress("leaking on purpose", len(tasks)) as tick:
        for number, predictions in run_in_workers(run_leaky, calls, min(workers, len(tasks))):
            run.write_leaky(tasks[number], predictions)
            tick(1)


def _light(store: ImageStore) -> ImageStore:
    """Give what a worker needs of a store."""
    return replace(store, manifest=store.manifest.closed())


def _on_device(recipes: list[Recipe], choice: str) -> list[Recipe]:
    """Settle where networks compute, once for all workers; torch is loaded only if something asks for it."""
    if choice == "auto" and not any(recipe.takes_device for recipe in recipes):
        return recipes
    from raresight.networks.training import find_device

    found = find_device(choice)
    return [replace(recipe, device=found) for recipe in recipes]
