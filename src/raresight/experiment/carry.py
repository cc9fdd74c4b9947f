"""A comparison's work carried out: what is not done yet, in worker processes, into the run's folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from raresight.errors import MissingExtraError, RunError
from raresight.experiment.balancing import prepare_gram
from raresight.experiment.leaky import LeakyTask, run_leaky
from raresight.experiment.run import Run, locked, open_run
from raresight.experiment.task import Failure, Result, Task, try_task
from raresight.experiment.work import Work
from raresight.experiment.workers import Lost, run_in_workers
from raresight.images.masks import stored_masks
from raresight.images.store import ImageStore
from raresight.progress import Progress, Say, silent, unsaid
from raresight.represent import REPRESENTATIONS


def carry_out(
    work: Work,
    path: Path,
    workers: int,
    progress: Progress = silent,
    say: Say = unsaid,
    *,
    weigh: bool = True,
    scheduler: Any = None,
) -> Run:
    """Do what is not done yet in a run's folder, and weigh the evidence if that is wanted at once.

    Parameters
    ----------
    work : Work
    path : Path
    workers : int
        Worker processes on this machine.
    progress, say
        See `raresight.compare`.
    weigh : bool
    scheduler : str or distributed.Client, optional
        A Dask cluster that computes in the workers' place, see `raresight.experiment.cluster`.

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
            start = time.perf_counter()
            prepare_spaces(store, [*waiting, *leaky], progress)
            run.spend("prepare", time.perf_counter() - start)
        if waiting:
            if work.external is not None:
                prepare_spaces(work.external.store, waiting, progress, distances=False)
            _work(waiting, work, run, workers, progress, scheduler)
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


def _work(
    tasks: Sequence[Task], work: Work, run: Run, workers: int, progress: Progress, scheduler: Any
) -> None:
    calls = calls_of(work, in_order(tasks))
    with progress("training and testing", len(tasks)) as tick:
        run_tasks(try_task, calls, run, workers, tick, scheduler)


def in_order(tasks: Iterable[Task]) -> list[Task]:
    """Put networks first: they take longest, and begun first don't leave the other cores idle at the end."""
    return sorted(tasks, key=lambda task: not task.recipe.network)


def calls_of(work: Work, tasks: Sequence[Task]) -> list[tuple[Any, ...]]:
    """Give for each task what `try_task` takes, light enough to be sent to a worker."""
    external = work.external
    if external is not None:
        external = replace(external, store=_light(external.store))
    store = _light(work.store)
    return [(task, store, work.grouping.names, work.protocol, external) for task in tasks]


def run_tasks(
    function: Callable[..., Result | Failure],
    calls: Sequence[tuple[Any, ...]],
    run: Run,
    workers: int,
    tick: Callable[[int], None],
    scheduler: Any = None,
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
    scheduler : str or distributed.Client, optional
        See `carry_out`.
    """
    tasks: list[Task] = [call[0] for call in calls]
    failed: list[tuple[Task, Failure]] = []
    run.write_failed(failed)
    if scheduler is None:
        results = run_in_workers(function, calls, min(workers, len(tasks)))
    else:
        results = _on_cluster(scheduler, function, calls)
    for number, result in results:
        if isinstance(result, Lost):
            result = Failure(result.reason)
        if isinstance(result, Failure):
            failed.append((tasks[number], result))
            run.write_failed(failed)
        else:
            run.write(tasks[number], result)
        tick(1)


def _on_cluster(
    scheduler: Any, function: Callable[..., Result | Failure], calls: Sequence[tuple[Any, ...]]
) -> Iterator[tuple[int, Any]]:
    try:
        from raresight.experiment.cluster import run_on_cluster
    except ModuleNotFoundError as error:
        raise MissingExtraError("--scheduler needs Dask: pip install 'raresight[cluster]'") from error
    _, store, *_, other = calls[0]
    stores = [store] if other is None else [store, other.store]
    resources = [{"GPU": 1.0} if call[0].recipe.device == "cuda" else {} for call in calls]
    return run_on_cluster(scheduler, function, calls, stores, resources)


def _leak(tasks: Sequence[LeakyTask], work: Work, run: Run, workers: int, progress: Progress) -> None:
    calls = [(task, _light(work.store), work.protocol) for task in tasks]
    with progress("leaking on purpose", len(tasks)) as tick:
        for number, predictions in run_in_workers(run_leaky, calls, min(workers, len(tasks))):
            if isinstance(predictions, Lost):
                raise RunError(
                    f"the leaky twin of {tasks[number].recipe.id} cannot be made: {predictions.reason}"
                )
            run.write_leaky(tasks[number], predictions)
            tick(1)


def _light(store: ImageStore) -> ImageStore:
    """Give what a worker needs of a store."""
    return replace(store, manifest=store.manifest.closed())
