"""Worker processes that all compute alike: one intra-op thread each, and memory that is kept."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
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


def run_in_workers(
    function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], workers: int
) -> Iterator[tuple[int, Any]]:
    """Call a function in worker processes and give (call number, result) as each ends.

    The result of a call does not depend on the number of workers. When the caller stops early, or dies, the
    workers end too.

    Raises
    ------
    RunError
        If a worker died: usually the machine ran out of memory.
    """
    from concurrent.futures import as_completed

    from loky import get_reusable_executor
    from loky.process_executor import TerminatedWorkerError

    # loky replaces a worker that has grown or idled, and loses nothing; its warning alarms for no reason.
    warnings.filterwarnings("ignore", "A worker (stopped|was restarted)", UserWarning)
    pool = get_reusable_executor(workers, env=ENVIRONMENT, initializer=_begin, initargs=(os.getpid(),))
    finished = False
    try:
        futures = {pool.submit(function, *call): number for number, call in enumerate(calls)}
        for future in as_completed(futures):
            yield futures[future], future.result()
        finished = True
    except TerminatedWorkerError as error:
        raise RunError(
            "a worker process died, most likely for want of memory; what is finished is kept, "
            "and the same command with --workers 1 goes on from there"
        ) from error
    finally:
        if not finished:
            pool.shutdown(wait=True, kill_workers=True)


def _begin(parent: int) -> None:
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """Leave when the parent is gone: once killed, it cannot tell its workers."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
