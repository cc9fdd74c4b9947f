"""From a request's images to what is said of them, while the client is there to hear it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from starlette.requests import Request

from raresight.deploy.prediction import Prediction
from raresight.deploy.service.bodies import Upload
from raresight.deploy.service.engine import Job
from raresight.deploy.service.opened import Opened
from raresight.deploy.service.problems import Gone, Problem, unavailable
from raresight.deploy.service.service import Service
from raresight.errors import ImageError, MissingExtraError, OptionError

T = TypeVar("T")

SOON = 0.03
"""Seconds within which most answers are there."""

AHEAD = 2
"""Batches of frames that a request may have in the queue."""


def cut_of(opened: Opened, request: Request) -> float:
    """Give the threshold that a request asks for.

    Raises
    ------
    Problem
        422, if the bundle has no such rule and it is no number.
    """
    try:
        return opened.predictor.facts.threshold(request.query_params.get("threshold", "default"))
    except OptionError:
        rules = ", ".join(opened.predictor.facts.thresholds)
        raise Problem(422, f"this bundle has no such threshold; send a number or one of: {rules}") from None


async def while_there(request: Request, service: Service, work: Coroutine[Any, Any, T]) -> T:
    """Do the work of a request whose body was read, as long as its client is there and its time lasts.

    Raises
    ------
    Problem
        503, if it takes too long.
    Gone
        If the client leaves; what was waiting is dropped.
    """
    task = asyncio.ensure_future(work)
    leaving: asyncio.Future[Any] | None = None
    try:
        # Most answers are there before it is worth while to listen whether somebody still waits for them.
        await asyncio.wait((task,), timeout=min(SOON, service.settings.timeout))
        if not task.done():
            leaving = asyncio.ensure_future(request.receive())
            await asyncio.wait(
                (task, leaving), timeout=service.settings.timeout - SOON, return_when=asyncio.FIRST_COMPLETED
            )
        if task.done():
            return task.result()
        if leaving is not None and leaving.done():
            raise Gone
        raise unavailable("the answer took too long; try again later")
    finally:
        task.cancel()
        if leaving is not None:
            leaving.cancel()


async def score_upload(
    service: Service, opened: Opened, upload: Upload, cut: float
) -> list[tuple[str, Prediction]]:
    """Score a file, frame by frame where it has several.

    Returns
    -------
    list of (id, Prediction)

    Raises
    ------
    Problem
        413 where it has too many frames, 415 where what reads it is not installed, 422 where its header
        cannot be read.
    """
    job = service.engine.submit(opened, upload.name, upload.content, cut)
    found = await _answer(job)
    if isinstance(found, Prediction):
        return [(job.id, found)]
    if found > service.settings.frames:
        raise Problem(
            413, f"the file has {found:,} frames, more than the limit of {service.settings.frames:,}"
        )
    return [each async for each in _frames(service, opened, upload, cut, found)]


async def _frames(
    service: Service, opened: Opened, upload: Upload, cut: float, count: int
) -> AsyncIterator[tuple[str, Prediction]]:
    """Score each frame, a few of them in the queue at a time."""
    waiting: deque[Job] = deque()
    try:
        for frame in range(count):
            if len(waiting) >= AHEAD * service.engine.batch:
                yield await _next(waiting)
            name = f"{upload.name}#{frame}"
            waiting.append(service.engine.submit(opened, name, upload.content, cut, frame))
        while waiting:
            yield await _next(waiting)
    finally:
        for job in waiting:
            job.done.cancel()


async def _next(waiting: deque[Job]) -> tuple[str, Prediction]:
    job = waiting[0]
    found = await _answer(job)
    waiting.popleft()
    assert isinstance(found, Prediction)  # its frame was named, so that it is scored
    return job.id, found


async def _answer(job: Job) -> Prediction | int:
    with refusing():
        return await job.done


@contextmanager
def refusing() -> Iterator[None]:
    """Turn what is wrong with an image into a problem."""
    try:
        yield
    except ImageError as error:
        raise Problem(422, str(error)) from None
    except MissingExtraError as error:
        raise Problem(415, str(error)) from None
