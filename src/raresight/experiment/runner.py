"""Recipes × splits → a run."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.errors import OptionError
from raresight.experiment.balancing import prepare_gram
from raresight.experiment.protocol import Protocol
from raresight.experiment.recipe import Recipe, make_recipes
from raresight.experiment.run import Run, locked, open_run
from raresight.experiment.task import Task, run_task
from raresight.experiment.workers import run_in_workers
from raresight.images.cache import content_hash
from raresight.images.manifest import Manifest
from raresight.images.preprocess import Preprocess
from raresight.images.splits import mixed_groups
from raresight.images.store import ImageStore, build_store
from raresight.progress import Progress, silent
from raresight.represent.embedding import Embedding
from raresight.represent.pixels import Pixels

PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "monai", "onnxruntime", "pillow", "pandas", "pyarrow")


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
    seed: int = 0,
    groups: str = "auto",
    size: int = 224,
    resize: str = "letterbox",
    preprocess: str | None = None,
    neutralise: Sequence[str] = (),
    device: str = "auto",
    workers: int | None = None,
    out: str | Path | None = None,
    command: str | None = None,
    progress: Progress = silent,
) -> Run:
    """Compare recipes on a labelled image set, leak-free, and keep everything in a run.

    The same call again resumes a run that was cut short, or gives the finished one.

    Parameters
    ----------
    images : Manifest
        From `raresight.load`.
    models, balance : sequences of str
        Names that ``raresight list`` shows, options in brackets: ``"smote[k_neighbors=3]"``.
    representation : str or sequence of str, optional
        What the models other than networks see; ``"embedding"`` by default.
    folds, repeats, inner_folds, tune, imbalance, seed, groups
        See `Protocol`.
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
    workers : int, optional
        Worker processes; as many as there are cores. The result does not depend on it.
    out : path, optional
        The run's folder; by default ``runs/<hash of manifest and settings>``.
    command : str, optional
        What the user typed, kept in ``run.json``.
    progress : callable, optional
        See `raresight.progress`.

    Returns
    -------
    Run

    Raises
    ------
    DataError, OptionError, RunError
        If the set, an option or the folder cannot be used.
    LeakageError
        If anything learned from a test row; a defect in raresight.
    """
    recipes = _on_device(make_recipes(models, balance, representation), device)
    protocol = Protocol(folds, repeats, inner_folds, tune, imbalance, seed, groups)
    if images.task != "binary":
        raise OptionError("compare judges normal against anomalous; leave out --task multiclass")
    images.groups(groups)
    seen_as = Preprocess(size, resize, preprocess, tuple(neutralise))  # type: ignore[arg-type]
    store = build_store(images, seen_as, progress)
    names = store.manifest.groups(groups)
    tasks = [Task(r, s) for s in protocol.splits(store.manifest.y, names) for r in recipes]
    settings = _settings(store, names, recipes, protocol, command)
    path = Path(out) if out is not None else Path("runs") / settings["identity"][:12]
    with locked(path):
        run = open_run(path, settings, [(r.file, r.reason) for r in store.manifest.rejected])
        waiting = [task for task in tasks if not run.has(task)]
        if waiting:
            (path / "metrics.json").unlink(missing_ok=True)
            _prepare(store, waiting, progress)
            _work(waiting, store, names, protocol, run, workers or os.cpu_count() or 1, progress)
        with progress("weighing the evidence", 1) as tick:
            _ = run.metrics
            tick(1)
    return run


def _prepare(store: ImageStore, tasks: Sequence[Task], progress: Progress) -> None:
    """Compute once, before the workers start, what they all read."""
    spaces = {str(t.recipe.representation): t.recipe.representation for t in tasks}
    for spec in spaces.values():
        if spec.name == "embedding":
            Embedding(**spec.options).whole(store, progress)
        elif spec.name == "pixels":
            Pixels(**spec.options).whole(store)
    for recipe in {t.recipe.id: t.recipe for t in tasks}.values():
        prepare_gram(store, recipe.balance, recipe.representation)


def _work(
    tasks: Sequence[Task],
    store: ImageStore,
    groups: NDArray[Any],
    protocol: Protocol,
    run: Run,
    workers: int,
    progress: Progress,
) -> None:
    # Networks take longest: begun first, they don't leave the other cores idle at the end.
    tasks = sorted(tasks, key=lambda task: not task.recipe.network)
    light = replace(store, manifest=store.manifest.closed())
    calls = [(task, light, groups, protocol) for task in tasks]
    with progress("training and testing", len(tasks)) as tick:
        for number, result in run_in_workers(run_task, calls, min(workers, len(tasks))):
            run.write(tasks[number], result)
            tick(1)


def _on_device(recipes: list[Recipe], choice: str) -> list[Recipe]:
    """Settle where networks compute, once for all workers; torch is loaded only if something asks for it."""
    if choice == "auto" and not any(recipe.takes_device for recipe in recipes):
        return recipes
    from raresight.networks.training import find_device

    found = find_device(choice)
    return [replace(recipe, device=found) for recipe in recipes]


def _settings(
    store: ImageStore,
    groups: NDArray[Any],
    recipes: Sequence[Recipe],
    protocol: Protocol,
    command: str | None,
) -> dict[str, Any]:
    manifest = store.manifest
    manifest_hash = content_hash(manifest.files, manifest.labels.tolist(), groups.tolist(), manifest.normal)
    parts = [r.settings() for r in recipes]
    counts = manifest.table["label"].value_counts()
    return {
        "identity": content_hash(store.key, manifest_hash, parts, protocol.settings(), recipes[0].device),
        "command": command,
        "data": {
            "name": manifest.name,
            "images": len(manifest),
            "rejected": len(manifest.rejected),
            "groups": len(np.unique(groups)),
            "mixed_groups": mixed_groups(manifest.y, groups),
            "classes": {label: int(counts[label]) for label in manifest.classes},
            "normal": list(manifest.normal),
            "manifest_hash": manifest_hash,
        },
        "recipes": parts,
        "protocol": protocol.settings(),
        "device": recipes[0].device,
        "store": {
            "key": store.key,
            "folder": str(store.folder),
            "shape": list(store.pixels.shape),
            "dtype": str(store.pixels.dtype),
            **store.preprocess.settings(),
        },
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("raresight", *PACKAGES):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
