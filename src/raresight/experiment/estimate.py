"""What a grid will cost, from one task of each kind: hours, memory and disk, before it is begun."""

from __future__ import annotations

import heapq
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from raresight.errors import RunError
from raresight.experiment.carry import calls_of, in_order, prepare_spaces
from raresight.experiment.run import Run, locked, open_run
from raresight.experiment.task import Failure, Task, try_task
from raresight.experiment.work import Work, plan_work
from raresight.experiment.workers import Lost, run_in_workers
from raresight.images.manifest import Manifest
from raresight.progress import Progress, silent

WEIGHED = ("metrics.json", "verdicts.json")


@dataclass(frozen=True, slots=True)
class Kind:
    """The tasks of one recipe.

    Attributes
    ----------
    recipe : str
    tasks : int
    seconds : float
        Of the one that was timed, in a worker beside others.
    bytes : int
        The most memory that its worker had taken by then.
    """

    recipe: str
    tasks: int
    seconds: float
    bytes: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a grid costs.

    Attributes
    ----------
    kinds : list of Kind
    prepare : float
        Seconds for images, representations and distances; spent by now, and kept.
    weigh : float
        Seconds to weigh the evidence, once all tasks are done.
    start : float
        Seconds until workers begin.
    workers : int
        How many there are.
    done : int
        Tasks that are finished by now, those that were timed among them.
    hours : dict of str to float
        By number of workers, ``"1"`` and as many as there are: hours from the beginning to the end.
    left : float
        Hours from now to the end, on all workers.
    memory : int
        Bytes that all workers and this process take together at most.
    disk : int
        Bytes of the store, with what is derived from it, and of the finished run.
    """

    kinds: list[Kind]
    prepare: float
    weigh: float
    start: float
    workers: int
    done: int
    hours: dict[str, float]
    left: float
    memory: int
    disk: int

    def as_dict(self) -> dict[str, Any]:
        """Give it as JSON has it."""
        return asdict(self)


def estimate(work: Work, path: Path, workers: int, planned: float, progress: Progress = silent) -> Estimate:
    """Do what all tasks share and one task of each recipe, for real, and reckon the rest from that.

    What is done is kept: the same comparison goes on from there.

    Parameters
    ----------
    work : Work
    path : Path
        Of the run.
    workers : int
    planned : float
        Seconds that planning took, decoding among it.
    progress : callable, optional

    Raises
    ------
    RunError
        If a task that was to be timed failed.
    """
    with locked(path):
        run = open_run(path, work.settings, [(r.file, r.reason) for r in work.store.manifest.rejected])
        for name in WEIGHED:
            (path / name).unlink(missing_ok=True)
        prepare = planned + _timed(lambda: prepare_spaces(work.store, work.tasks, progress))
        samples = in_order({task.recipe.id: task for task in reversed(work.tasks)}.values())
        with progress("timing one task of each kind", len(samples)) as tick:
            kinds, start = _sample(work, samples, run, workers, tick)
        weigh = _weighing(path, work)
    seconds = {kind.recipe: kind.seconds for kind in kinds}
    every = [seconds[task.recipe.id] for task in in_order(work.tasks)]
    left = [seconds[task.recipe.id] for task in in_order(work.tasks) if not run.has(task)]
    rest = prepare + weigh + start
    done = len(work.tasks) - len(left)
    kept = sum(p.stat().st_size for p in path.rglob("*") if p.is_file()) * len(work.tasks) / max(1, done)
    store = sum(p.stat().st_size for p in work.store.folder.rglob("*") if p.is_file())
    return Estimate(
        kinds=kinds,
        prepare=prepare,
        weigh=weigh,
        start=start,
        workers=workers,
        done=done,
        hours={str(n): (rest + makespan(every, n)) / 3600 for n in sorted({1, workers})},
        left=(weigh + start + makespan(left, workers)) / 3600,
        memory=max(kind.bytes for kind in kinds) * min(workers, len(work.tasks)) + peak_bytes(),
        disk=store + int(kept),
    )


def estimate_compare(
    images: Manifest,
    models: Sequence[str] = ("svm", "rf"),
    balance: Sequence[str] = ("none", "smote"),
    *,
    imbalance: float | None = None,
    workers: int | None = None,
    out: str | Path | None = None,
    progress: Progress = silent,
    **options: Any,
) -> Estimate:
    """Tell what `compare` would cost with the same options.

    Parameters
    ----------
    images, models, balance, imbalance, workers, out, progress
        See `compare`.
    **options
        Further ones of `compare`.

    Raises
    ------
    DataError, OptionError, RunError
        As `compare` does, and if a task that was to be timed failed.
    """
    start = time.perf_counter()
    ratio = None if imbalance is None else float(imbalance)
    work = plan_work(images, models, balance, imbalance=ratio, progress=progress, **options)
    path = Path(out) if out is not None else Path("runs") / work.identity[:12]
    return estimate(work, path, workers or os.cpu_count() or 1, time.perf_counter() - start, progress)


def makespan(seconds: Sequence[float], workers: int) -> float:
    """Give how long tasks take that are handed, in order, to whichever worker is free first.

    Source: Graham, "Bounds for certain multiprocessing anomalies", Bell System Technical Journal 45 (1966).
    """
    busy = [0.0] * workers
    for each in seconds:
        heapq.heappush(busy, heapq.heappop(busy) + each)
    return max(busy)


def _sample(
    work: Work, samples: Sequence[Task], run: Run, workers: int, tick: Callable[[int], None]
) -> tuple[list[Kind], float]:
    """Run one task of each kind in the workers; give their costs, and the seconds until workers begin."""
    kinds, begun = [], time.perf_counter()
    for number, measured in run_in_workers(measure_task, calls_of(work, samples), min(workers, len(samples))):
        task = samples[number]
        if isinstance(measured, Lost):
            raise RunError(f"{task.recipe.id} cannot be timed: {measured.reason}")
        result, seconds, size = measured
        if isinstance(result, Failure):
            raise RunError(f"{task.recipe.id} cannot be timed: {result.reason}")
        run.write(task, result)
        count = sum(each.recipe.id == task.recipe.id for each in work.tasks)
        kinds.append(Kind(task.recipe.id, count, seconds, size))
        tick(1)
    took = time.perf_counter() - begun
    seconds_of = {kind.recipe: kind.seconds for kind in kinds}
    expected = makespan([seconds_of[task.recipe.id] for task in samples], min(workers, len(samples)))
    return kinds, max(0.0, took - expected)


def measure_task(*call: Any) -> tuple[Any, float, int]:
    """Run a task; give its result, its seconds, and the worker's peak memory in bytes."""
    start = time.perf_counter()
    result = try_task(*call)
    return result, time.perf_counter() - start, peak_bytes()


def peak_bytes() -> int:
    """Give the most memory that this process has had resident."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _weighing(path: Path, work: Work) -> float:
    """Weigh what there is, and reckon what weighing all of it takes: resampling grows with the rows."""
    run = Run(path)
    took = _timed(lambda: run.metrics)
    share = len(run.predictions) / sum(len(task.split.test) for task in work.tasks)
    for name in WEIGHED:
        (path / name).unlink(missing_ok=True)
    return took / share


def _timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
