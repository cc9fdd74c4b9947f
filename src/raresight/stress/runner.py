"""Recipes × folds, each scored clean and corrupted → a stress folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.errors import OptionError, RunError
from raresight.evidence.conditions import KEPT_RULE
from raresight.evidence.prevalence_change import COST
from raresight.evidence.thresholds import DEFAULT_RULES
from raresight.experiment.carry import prepare_spaces, run_tasks
from raresight.experiment.protocol import Protocol
from raresight.experiment.run import Run, locked, open_run
from raresight.experiment.task import Failure, Result, Task, try_task
from raresight.experiment.work import Work, plan_work
from raresight.images.cache import content_hash
from raresight.images.manifest import Manifest
from raresight.images.splits import Rows
from raresight.images.store import ImageStore
from raresight.progress import Progress, Say, silent, unsaid
from raresight.spec import Spec
from raresight.stress.battery import (
    CORRUPTION_VERSION,
    Battery,
    for_fold,
    make_battery,
    prepare_features,
)
from raresight.stress.corruptions import SEVERITIES, conditions_of, default_corruptions
from raresight.stress.folder import SUMMARY, Stress

MOST = 300
"""Test images corrupted, over all folds, where nothing is asked for."""

FEWEST = 10
"""Images of each class that are taken at least, if there are so many."""


def stress_recipes(
    images: Manifest,
    models: Sequence[str] = ("svm",),
    balance: Sequence[str] = ("none", "smote"),
    *,
    corruptions: Sequence[str] | None = None,
    severities: Sequence[int] = SEVERITIES,
    most: int = MOST,
    cost: float = COST,
    folds: int = 5,
    seed: int = 0,
    workers: int | None = None,
    out: str | Path | None = None,
    progress: Progress = silent,
    say: Say = unsaid,
    **options: Any,
) -> Stress:
    """Find out what breaks recipes: fit each on clean training rows, score its test rows clean and corrupted.

    The protocol is that of `raresight.compare`: the same folds, groups, inner thresholds and calibration. The
    same call again resumes a test that was cut short, or gives the finished one.

    Parameters
    ----------
    images : Manifest
    models, balance : sequences of str
        See `raresight.compare`.
    corruptions : sequence of str, optional
        Of `raresight.stress.CORRUPTIONS`; by default those that images of the modality (``preprocess``)
        suffer.
    severities : sequence of int
        1 to 5.
    most : int
        Test images that are corrupted, over all folds, each class in proportion; 0 takes all.
    cost : float
        What a missed anomaly costs, in false alarms.
    folds, seed : int
    workers : int, optional
        Worker processes; as many as there are cores. The result does not depend on it.
    out : path, optional
        The folder; by default ``runs/stress-<hash>``.
    progress, say : callable, optional
        See `raresight.compare`.
    **options
        Further ones of `raresight.compare`: ``external``, ``by``, ``imbalance``, ``repeats``, ``preprocess``
        …

    Returns
    -------
    Stress

    Raises
    ------
    DataError, OptionError, RunError, LeakageError
        As `raresight.compare` does; also if a corruption or severity is unknown, or a case has several
        images.
    """
    check_stressed(images, most, cost)
    chosen = corruptions or default_corruptions(options.get("preprocess"))
    conditions = conditions_of(chosen, severities)
    options["thresholds"] = tuple(dict.fromkeys([*options.get("thresholds", DEFAULT_RULES), KEPT_RULE]))
    work = plan_work(images, models, balance, folds=folds, seed=seed, progress=progress, **options)
    _check_spaces(work)
    rows = choose_rows(work.store.manifest.y, most, seed)
    names = [str(condition) for condition in conditions]
    stress = {
        "corruptions": list(dict.fromkeys(c.corruption for c in conditions)),
        "severities": sorted({c.severity for c in conditions}),
        "images": len(rows),
        "anomalies": int(work.store.manifest.y[rows].sum()),
        "cost": float(cost),
    }
    identity = content_hash("stress", work.identity, names, rows.tolist(), cost, CORRUPTION_VERSION)
    settings = {**work.settings, "stress": stress, "identity": identity}
    work.tell(say)
    path = Path(out) if out is not None else Path("runs") / f"stress-{identity[:12]}"
    battery = make_battery(work.store, work.grouping.names, rows, conditions, seed, work.external)
    _carry_out(replace(work, settings=settings), battery, path, workers or os.cpu_count() or 1, progress, say)
    return Stress(path)


def check_stressed(images: Manifest, most: int, cost: float) -> None:
    """Refuse what stress cannot do.

    Raises
    ------
    OptionError
    """
    if images.task == "multiclass":
        raise OptionError("stress judges normal against anomalous; name the normal classes with --normal")
    if images.modalities:
        raise OptionError(f"a case of {images.name} has several images, and stress corrupts one alone")
    if most < 0:
        raise OptionError(f"--most {most} is below 0; write how many test images to corrupt, 0 for all")
    if not cost > 0:
        raise OptionError(f"--cost {cost:g} is not above 0; a missed anomaly costs so many false alarms")


def _check_spaces(work: Work) -> None:
    for task in work.tasks:
        if task.recipe.representation.name == "cases":
            raise OptionError(f"{task.recipe.id} sees more than the image that stress corrupts; leave it out")


def choose_rows(y: NDArray[np.int64], most: int, seed: int) -> Rows:
    """Choose the images that are corrupted, each class in proportion, but not fewer than ten of one.

    Parameters
    ----------
    y : (n,) int array
        1 = anomalous.
    most : int
        About how many; 0 takes all.
    seed : int

    Returns
    -------
    int64 array
        Ascending.
    """
    if most == 0 or most >= len(y):
        return np.arange(len(y))
    random = np.random.default_rng((seed, len(y)))
    parts = []
    for code in (0, 1):
        own = random.permutation(np.flatnonzero(y == code))
        parts.append(own[: max(FEWEST, round(most * len(own) / len(y)))])
    return np.sort(np.concatenate(parts))


def _carry_out(work: Work, battery: Battery, path: Path, workers: int, progress: Progress, say: Say) -> None:
    """Do what is not done yet in a folder."""
    with locked(path):
        run = open_run(path, work.settings, [(r.file, r.reason) for r in work.store.manifest.rejected])
        if work.subgroups is not None and run.keep_subgroups(work.subgroups):
            (path / SUMMARY).unlink(missing_ok=True)
        waiting = [task for task in work.tasks if not run.has(task)]
        if waiting:
            (path / SUMMARY).unlink(missing_ok=True)
            prepare_spaces(work.store, waiting, progress)
            if work.external is not None:
                prepare_spaces(work.external.store, waiting, progress, distances=False)
            prepare_features(battery, _spaces(waiting), progress, workers)
            _work(waiting, work, battery, run, workers, progress)
            for sentence in run.failure_sentences:
                say(f"warning: {sentence}")
            if {task.recipe.id for task in work.tasks} <= run.failed_recipes:
                raise RunError(f"every recipe failed; {run.failure_sentences[0]}")
        with progress("weighing the evidence", 1) as tick:
            _ = Stress(path).summary
            tick(1)


def _spaces(tasks: Sequence[Task]) -> list[Spec]:
    return list({str(task.recipe.representation): task.recipe.representation for task in tasks}.values())


def _work(
    tasks: Sequence[Task], work: Work, battery: Battery, run: Run, workers: int, progress: Progress
) -> None:
    light = replace(work.store, manifest=work.store.manifest.closed())
    calls = [
        (task, light, work.grouping.names, work.protocol, for_fold(battery, task.split.test))
        for task in tasks
    ]
    with progress("training, corrupting and testing", len(tasks)) as tick:
        run_tasks(stress_task, calls, run, workers, tick)


def stress_task(
    task: Task, store: ImageStore, groups: NDArray[Any], protocol: Protocol, battery: Battery
) -> Result | Failure:
    """Run one task of a comparison, a battery in place of an external set, and name the conditions."""
    result = try_task(task, store, groups, protocol, battery)
    if isinstance(result, Failure) or result.external is None:
        return result
    return replace(result, external=battery.label(result.external))
