"""Recipes × splits → a run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from raresight.evidence.thresholds import DEFAULT_RULES
from raresight.experiment.carry import carry_out
from raresight.experiment.protocol import Splitting
from raresight.experiment.run import Run
from raresight.experiment.work import plan_work
from raresight.images.manifest import Manifest
from raresight.progress import Progress, Say, silent, unsaid


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
    scheduler: Any = None,
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
    scheduler : str or distributed.Client, optional
        A Dask cluster that computes in their place: an address, or a client, for instance of a
        dask-jobqueue or dask-kubernetes cluster. Needs the extra ``cluster``.
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
    return carry_out(work, path, workers or os.cpu_count() or 1, progress, say, scheduler=scheduler)
