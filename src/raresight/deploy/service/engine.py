"""The engine: images of many requests, decoded side by side and scored in batches.

A few threads take images from one queue. Who has decoded one and finds the graph free runs it on every image
that is ready by then; who finds it taken goes on decoding. So a lone image passes through one thread
and waits for nobody, and under load batches form by themselves. Source: the combining of requests in
Hendler et al., "Flat combining and the synchronization-parallelism tradeoff", SPAA 2010.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from queue import SimpleQueue
from secrets import token_hex
from threading import Condition, Lock, Thread
from typing import Any, TypeVar

from raresight.deploy.prediction import Prediction, Prepared
from raresight.deploy.service.opened import Opened
from raresight.images.readers import count_frames

T = TypeVar("T")

CLOSE_SECONDS = 2.0


@dataclass(eq=False, slots=True)
class Job:
    """An image on its way.

    Attributes
    ----------
    opened : Opened
        The bundle that its request began with: a bundle loaded meanwhile has no part in it.
    name : str
        As the client is to see it.
    source : bytes or None
        The file's content; let go of once it is decoded.
    frame : int or None
        None: not known to have one frame only.
    cut : float
        The score from which it is anomalous.
    id : str
        Opaque.
    """

    opened: Opened
    name: str
    source: bytes | None
    frame: int | None
    cut: float
    done: asyncio.Future[Prediction | int]
    id: str = field(default_factory=lambda: token_hex(16))
    prepared: Prepared | None = None
    found: Prediction | int | Exception | None = None

    def let_go(self, _: object) -> None:
        """Drop the content of a file that nobody waits for any more: it no longer counts as held."""
        self.source = None

    def prepare(self) -> None:
        """Decode an image that is still wanted; what is wrong with it becomes what is found."""
        source, self.source = self.source, None
        if source is None or self.done.cancelled():
            return
        try:
            if self.frame is None and (frames := count_frames(source)) != 1:
                self.found = frames
                return
            self.prepared = self.opened.predictor.attempt(self.name, source, self.frame or 0)
        except Exception as error:
            self.found = error


@dataclass(eq=False, slots=True)
class Call:
    """A function on its way; see `Engine.call`."""

    function: Callable[[], Any] | None
    done: asyncio.Future[Any]

    def let_go(self, _: object) -> None:
        """Drop what the function holds."""
        self.function = None

    def run(self) -> None:
        """Call it, if somebody still waits, and hand over what it gives."""
        function = self.function
        if function is None or self.done.cancelled():
            return
        try:
            answer = partial(_fulfil, self.done, function())
        except Exception as error:
            answer = partial(_fail, self.done, error)
        with suppress(RuntimeError):  # the event loop has ended: nobody waits any more
            self.done.get_loop().call_soon_threadsafe(answer)


Observer = Callable[[Sequence[Job], float], None]
"""Told first, in a thread of the engine, of each scored batch: its jobs, and the seconds it took."""


class Engine:
    """Scores images with the bundle that is current.

    Parameters
    ----------
    opened : Opened
    workers : int
        Threads that decode and score.
    batch : int
        Images that go through the graph at once, at most.
    wait : float
        Seconds that a batch waits for images being decoded.
    queue : int
        Images waiting at which `full` says so.
    observe : callable, optional
        See `Observer`.

    Attributes
    ----------
    opened : Opened
        The current bundle; another may take its place at any time.
    pending : int
        Images that were submitted and have no answer yet.
    """

    def __init__(
        self,
        opened: Opened,
        *,
        workers: int,
        batch: int,
        wait: float,
        queue: int,
        observe: Observer | None = None,
    ) -> None:
        self.opened = opened
        self.batch, self.wait, self.queue = batch, wait, queue
        self.pending = 0
        self.observe = observe
        self._todo: SimpleQueue[Job | Call | None] = SimpleQueue()
        self._ready: deque[Job] = deque()
        self._coming = 0
        self._changed = Condition()
        self._turn = Lock()
        self._threads = [Thread(target=self._work, name=f"image-{i}", daemon=True) for i in range(workers)]
        for thread in self._threads:
            thread.start()

    @property
    def full(self) -> bool:
        """Whether as many images wait as may."""
        return self.pending >= self.queue

    def submit(self, opened: Opened, name: str, source: bytes, cut: float, frame: int | None = None) -> Job:
        """Put an image into the queue, from the event loop.

        Returns
        -------
        Job
            Its ``done`` gives the prediction; or, where `frame` is None and there are several, how many
            frames the file has. It raises ImageError where the file's header cannot be read. Cancel it
            and the image is dropped.
        """
        job = Job(opened, name, source, frame, cut, asyncio.get_running_loop().create_future())
        job.done.add_done_callback(job.let_go)
        self.pending += 1
        with self._changed:
            self._coming += 1
        self._todo.put(job)
        return job

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run a function in one of the engine's threads, for what is no batch; it counts as an image."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        call = Call(partial(function, *arguments), done)
        done.add_done_callback(call.let_go)
        self.pending += 1
        try:
            self._todo.put(call)
            return await done
        finally:
            self.pending -= 1

    def close(self) -> None:
        """End the threads, once what is in the queue is done; one that does not end is left behind."""
        for _ in self._threads:
            self._todo.put(None)
        for thread in self._threads:
            thread.join(CLOSE_SECONDS)

    def _work(self) -> None:
        while (job := self._todo.get()) is not None:
            if isinstance(job, Call):
                job.run()
                continue
            job.prepare()
            with self._changed:
                self._coming -= 1
                self._ready.append(job)
                self._changed.notify()
            # Checked again after each turn: an image may have become ready while it was taken.
            while self._ready and self._turn.acquire(blocking=False):
                try:
                    self._score(self._take())
                finally:
                    self._turn.release()

    def _take(self) -> list[Job]:
        """Take what is ready, of one bundle; wait a little where more is coming."""
        with self._changed:
            until = time.monotonic() + self.wait
            while self._coming and len(self._ready) < self.batch:
                if not self._changed.wait(until - time.monotonic()):
                    break
            jobs: list[Job] = []
            while self._ready and len(jobs) < self.batch:
                if jobs and self._ready[0].opened is not jobs[0].opened:
                    break
                jobs.append(self._ready.popleft())
        return jobs

    def _score(self, jobs: list[Job]) -> None:
        if not jobs:
            return
        start = time.perf_counter()
        wanted = [job for job in jobs if job.prepared is not None and not job.done.cancelled()]
        try:
            prepared = [job.prepared for job in wanted if job.prepared is not None]
            found = jobs[0].opened.predictor.decide(prepared, [job.cut for job in wanted], keep=True)
            for job, prediction in zip(wanted, found, strict=True):
                job.found = prediction
            if wanted and self.observe is not None:
                self.observe(wanted, time.perf_counter() - start)
        except Exception as error:
            for job in wanted:
                job.found = error
        for loop, own in groupby(jobs, key=lambda job: job.done.get_loop()):
            with suppress(RuntimeError):  # the event loop has ended: nobody waits any more
                loop.call_soon_threadsafe(self._deliver, list(own))

    def _deliver(self, jobs: list[Job]) -> None:
        self.pending -= len(jobs)
        for job in jobs:
            if isinstance(job.found, Exception):
                _fail(job.done, job.found)
            elif job.found is not None:
                _fulfil(job.done, job.found)


def _fulfil(done: asyncio.Future[Any], result: Any) -> None:
    if not done.done():
        done.set_result(result)


def _fail(done: asyncio.Future[Any], error: Exception) -> None:
    if not done.done():
        done.set_exception(error)
