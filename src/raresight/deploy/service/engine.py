"""The engine: images of many requests, decoded and scored side by side.

Each thread takes an image, decodes it, and scores what is decoded by then: at once where nothing else waits,
in batches of a few where more does. Nothing ever waits for a batch to fill.

A lone image goes through a graph that has every core. Several go through a graph of one thread each, which is
run by all of the engine's threads at once: parts of one graph that wait for each other waste the cores that
they share with decoding, with the event loop and with clients.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from queue import Empty, SimpleQueue
from secrets import token_hex
from threading import Thread
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
        Opaque, once it is decoded.
    """

    opened: Opened
    name: str
    source: bytes | None
    frame: int | None
    cut: float
    done: asyncio.Future[Prediction | int]
    id: str = ""
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
            # Here, since a system call in the event loop would hand the interpreter to another thread.
            self.id = token_hex(16)
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
        self, opened: Opened, *, workers: int, batch: int, queue: int, observe: Observer | None = None
    ) -> None:
        self.opened = opened
        self.batch, self.queue, self.observe = batch, queue, observe
        self.pending = 0
        self._todo: SimpleQueue[Job | Call | None] = SimpleQueue()
        self._ready: deque[Job] = deque()
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
        while True:
            try:
                # Whoever adds to what is ready looks here again, so that nothing ready is left behind.
                job = self._todo.get(block=not self._ready)
            except Empty:
                self._score(self._take())
                continue
            if job is None:
                self._score(self._take())
                return
            if isinstance(job, Call):
                job.run()
                continue
            job.prepare()
            self._ready.append(job)
            if len(self._ready) >= self.batch:
                self._score(self._take())

    def _take(self) -> list[Job]:
        """Take what is ready, of one bundle."""
        jobs: list[Job] = []
        with suppress(IndexError):  # other threads take too
            while len(jobs) < self.batch:
                job = self._ready.popleft()
                if jobs and job.opened is not jobs[0].opened:
                    self._ready.appendleft(job)
                    break
                jobs.append(job)
        return jobs

    def _score(self, jobs: list[Job]) -> None:
        if not jobs:
            return
        start = time.perf_counter()
        wanted = [job for job in jobs if job.prepared is not None and not job.done.cancelled()]
        opened = jobs[0].opened
        predictor = opened.predictor if self.pending <= 1 else opened.beside
        try:
            prepared = [job.prepared for job in wanted if job.prepared is not None]
            found = predictor.decide(prepared, [job.cut for job in wanted], keep=True)
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
