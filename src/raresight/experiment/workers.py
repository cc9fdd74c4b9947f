"""Worker processes that all compute alike: one intra-op thread each, and memory that is kept."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from raresight.errors import RunError

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # Without these two, glibc returns large blocks at once and eager PyTorch spends its time page-faulting.
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
}


TRIES = 2
"""Worker processes that a call may cost before it is given up."""


class Lost:
    """Stands for the result of a call whose worker process died, `TRIES` times."""

    reason = f"its worker process died {TRIES} times, most likely for want of memory"


def run_in_workers(
    function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], workers: int
) -> Iterator[tuple[int, Any]]:
    """Call a function in worker processes and give (call number, result) as each ends.

    The result of a call does not depend on the number of workers. When the caller stops early, or dies, the
    workers end too. When a worker dies, for want of memory or killed, the calls that were under way are made
    again, each alone in a new worker; one that costs that worker too is given up, and the others go on.

    Yields
    ------
    (int, object)
        The result is `Lost` for a call that was given up.

    Raises
    ------
    RunError
        If workers die before they begin with a call.
    """
    from loky.process_executor import TerminatedWorkerError

    waiting, deaths, idle = dict(enumerate(calls)), Counter[int](), 0
    with TemporaryDirectory(prefix="raresight-") as marks:
        while waiting:
            suspect = next((number for number in waiting if deaths[number]), None)
            lot = dict(waiting) if suspect is None else {suspect: waiting[suspect]}
            try:
                for number, result in _run_lot(function, lot, 1 if suspect is not None else workers, marks):
                    del waiting[number]
                    yield number, result
            except TerminatedWorkerError as error:
                begun = [int(mark.name) for mark in Path(marks).iterdir() if int(mark.name) in waiting]
                idle = 0 if begun else idle + 1
                if idle == TRIES:
                    raise RunError(
                        "worker processes die as soon as they start; what is finished is kept, and the same "
                        "command goes on from there"
                    ) from error
                deaths.update(begun)
                for number in begun:
                    (Path(marks) / str(number)).unlink()
                    if deaths[number] == TRIES:
                        del waiting[number]
                        yield number, Lost()


def _run_lot(
    function: Callable[..., Any], lot: Mapping[int, tuple[Any, ...]], workers: int, marks: str
) -> Iterator[tuple[int, Any]]:
    from concurrent.futures import as_completed

    from loky import get_reusable_executor

    # loky replaces a worker that has grown or idled, and loses nothing; its warning alarms for no reason.
    warnings.filterwarnings("ignore", "A worker (stopped|was restarted)", UserWarning)
    pool = get_reusable_executor(workers, env=ENVIRONMENT, initializer=_begin, initargs=(os.getpid(),))
    finished = False
    try:
        futures = {
            pool.submit(_marked, f"{marks}/{number}", function, call): number for number, call in lot.items()
        }
        for future in as_completed(futures):
            yield futures[future], future.result()
        finished = True
    finally:
        if not finished:
            pool.shutdown(wait=True, kill_workers=True)


def _marked(mark: str, function: Callable[..., Any], call: tuple[Any, ...]) -> Any:
    """Leave a mark while a call is under way: what it says outlives the process."""
    Path(mark).touch()
    try:
        return function(*call)
    finally:
        Path(mark).unlink(missing_ok=True)


def _begin(parent: int) -> None:
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """Leave when the parent is gone: once killed, it cannot tell its workers."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
