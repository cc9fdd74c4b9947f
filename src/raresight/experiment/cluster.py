"""Tasks on a Dask cluster that somebody else started: by hand, by dask-jobqueue, by dask-kubernetes.

What a task reads lies in the image store's folder. A worker that sees this folder, on a shared file system,
reads it there; any other is sent the files, by plugins that the scheduler gives to every worker, those that
come later or come back included. A worker computes one task at a time in one thread, so that predictions are
those of a local run, byte for byte. Results come back to the client, which writes them: to the run's folder a
cluster is nothing but other workers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from distributed import Client, WorkerPlugin, as_completed
from distributed.client import Future
from distributed.scheduler import KilledWorker

from raresight.errors import OptionError, RunError
from raresight.experiment.task import Failure
from raresight.experiment.workers import Lost
from raresight.images.cache import cache_folder, new_file
from raresight.images.store import ImageStore

PATIENCE = 120.0
"""Seconds that a scheduler that went away is waited for."""

ANSWER = 5.0
"""Seconds within which a scheduler must answer at first."""

SENT = 2**31
"""Bytes of a store that are sent to workers at most; more belongs on a file system that they share."""

_one_at_a_time = threading.Lock()


class StoreFile(WorkerPlugin):  # type: ignore[misc]
    """Puts a file of an image store into the cache of every worker that does not see the store's folder.

    Parameters
    ----------
    folder : Path
        The store's, on the client.
    key : str
        The store's.
    name : str
        Of the file.
    content : bytes
    """

    idempotent = True

    def __init__(self, folder: Path, key: str, name: str, content: bytes) -> None:
        self.folder, self.key, self.file, self.content = folder, key, name, content
        self.name = f"raresight-{key}-{name}"

    def setup(self, worker: Any) -> None:
        """Write the file, unless it is there."""
        own = own_folder(self.folder, self.key) / self.file
        if not own.exists() or own.stat().st_size != len(self.content):
            with new_file(own) as scratch:
                scratch.write_bytes(self.content)


def own_folder(folder: Path, key: str) -> Path:
    """Give where a worker finds a store: the client's folder where it is seen, else one in the own cache."""
    return folder if (folder / "store.json").is_file() else cache_folder() / "stores" / key


def run_on_cluster(
    scheduler: str | Client,
    function: Callable[..., Any],
    calls: Sequence[tuple[Any, ...]],
    stores: Sequence[ImageStore],
    resources: Sequence[Mapping[str, float]],
) -> Iterator[tuple[int, Any]]:
    """Call a function on a cluster's workers and give (call number, result) as each ends.

    A task whose code fails is tried once more, on another worker where there is one; a worker that dies is no
    loss. When the scheduler goes away, it is waited for, and what had not come back is asked of it anew.

    Parameters
    ----------
    scheduler : str or distributed.Client
        An address, ``tcp://host:8786``, or a client of a cluster.
    function : callable
    calls : sequence of tuple
        Its arguments.
    stores : sequence of ImageStore
        What the calls read.
    resources : sequence of mapping
        By call, what a worker must have, such as ``{"GPU": 1}``.

    Yields
    ------
    (int, object)
        The result; `Lost` where workers died with it again and again.

    Raises
    ------
    OptionError
        If nothing answers at the address, or a store is too large to be sent.
    RunError
        If the scheduler went away and did not come back.
    """
    waiting, gone = dict(enumerate(calls)), 0.0
    while waiting:
        try:
            with connected(scheduler, ANSWER if not gone else PATIENCE) as client:
                for store in stores:
                    send_store(client, store)
                for number, result in _submitted(client, function, waiting, resources):
                    del waiting[number]
                    gone = 0.0
                    yield number, result
        except OSError as error:  # distributed's own errors of lost connections derive from it
            now = time.monotonic()
            gone = gone or now
            if not isinstance(scheduler, str) or now - gone > PATIENCE:
                raise RunError(
                    "the cluster's scheduler went away; what is finished is kept, and the same command "
                    "goes on from there"
                ) from error
            time.sleep(0.5)


@contextmanager
def connected(scheduler: str | Client, timeout: float) -> Iterator[Client]:
    """Give a client; one that was opened here is closed here.

    Raises
    ------
    OptionError
        If nothing answers.
    """
    if not isinstance(scheduler, str):
        yield scheduler
        return
    try:
        client = Client(scheduler, timeout=timeout, set_as_default=False)
    except (OSError, ValueError) as error:
        raise OptionError(
            f"no Dask scheduler answers at {scheduler}; start one with dask scheduler, or leave out "
            "--scheduler"
        ) from error
    try:
        yield client
    finally:
        client.close(timeout=2)


def send_store(client: Client, store: ImageStore) -> None:
    """Give every worker, present and to come, the files of a store, where it does not see its folder.

    Raises
    ------
    OptionError
        If there is more than `SENT` to send.
    """
    folder = store.folder.absolute()
    seen = client.run(_sees, folder)
    if seen and all(seen.values()):
        return
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    size = sum(path.stat().st_size for path in files)
    if size > SENT:
        raise OptionError(
            f"the image store {folder} has {size / 1e9:.1f} GB, too much to send to every worker; set "
            "RARESIGHT_CACHE, here and for the workers, to a folder that all of them share"
        )
    # store.json last: with it a folder counts as whole.
    for path in sorted(files, key=lambda path: path.name == "store.json"):
        client.register_plugin(StoreFile(folder, store.key, path.name, path.read_bytes()))


def _sees(folder: Path) -> bool:
    return (folder / "store.json").is_file()


def _submitted(
    client: Client,
    function: Callable[..., Any],
    calls: Mapping[int, tuple[Any, ...]],
    resources: Sequence[Mapping[str, float]],
) -> Iterator[tuple[int, Any]]:
    def submit(number: int, **options: Any) -> Future:
        wanted = dict(resources[number]) or None
        return client.submit(compute_here, function, calls[number], pure=False, resources=wanted, **options)

    futures = {submit(number): number for number in list(calls)}
    tried: set[int] = set()
    ended = as_completed(futures, loop=client.loop)
    for future in ended:
        number = futures.pop(future)
        if future.status == "finished":
            result, worker = future.result()
            if isinstance(result, Failure) and result.traceback and number not in tried:
                tried.add(number)
                others = [each for each in client.scheduler_info(n_workers=-1)["workers"] if each != worker]
                again = submit(number, workers=others or None, allow_other_workers=bool(others))
                futures[again] = number
                ended.add(again)
                continue
            yield number, result
        elif future.status == "error":
            error = future.exception()
            if not isinstance(error, KilledWorker):
                raise error
            yield number, Lost()
        else:  # cancelled or lost: the scheduler no longer knows of it
            raise ConnectionError("the scheduler forgot a task")


def compute_here(function: Callable[..., Any], call: tuple[Any, ...]) -> tuple[Any, str]:
    """Run a task on a worker, alone and in one thread; give its result and the worker's address."""
    from distributed import get_worker
    from threadpoolctl import threadpool_limits

    local = tuple(_localised(part) for part in call)
    with _one_at_a_time, threadpool_limits(1):
        import torch

        torch.set_num_threads(1)
        return function(*local), get_worker().address


def _localised(part: Any) -> Any:
    """Point a store, or whatever holds one, to where this worker has it."""
    if isinstance(part, ImageStore):
        return replace(part, folder=own_folder(part.folder, part.key))
    held = getattr(part, "store", None)
    return replace(part, store=_localised(held)) if isinstance(held, ImageStore) else part
