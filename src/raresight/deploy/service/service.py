"""What all requests of one service share."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from raresight.deploy.prediction import Prediction
from raresight.deploy.service.auth import Tokens
from raresight.deploy.service.engine import Engine, Job
from raresight.deploy.service.logs import log
from raresight.deploy.service.metrics import Metrics
from raresight.deploy.service.problems import Problem, busy
from raresight.deploy.service.settings import ServiceSettings


class Drift(Protocol):
    """Holds new images against the training images; see `raresight.deploy.drift`."""

    def add(self, score: float, probability: float | None, features: NDArray[Any] | None) -> None:
        """Take one more image into account; from any thread."""
        ...

    def status(self) -> dict[str, Any]:
        """Say how far they differ."""
        ...

    def save(self, path: Path, owner: str) -> None:
        """Write the last images' numbers to a file."""
        ...


class Feedback(Protocol):
    """Keeps what was said of images, for labels that come later; see `raresight.deploy.feedback`."""

    def remember(
        self,
        id: str,
        *,
        bundle: str,
        score: float,
        probability: float | None,
        decision: str,
        threshold: float,
    ) -> None:
        """Keep a prediction."""
        ...

    def label(self, id: str, label: str) -> None:
        """Keep the label of an image that was predicted before."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


NOTED = 64
"""Batches that are noted before they are counted, where nobody asks for figures."""


@contextmanager
def _costing_nothing() -> Iterator[None]:
    """Keep what fails about a prediction's figures from costing the prediction."""
    try:
        yield
    except Exception as error:
        log("not kept", logging.ERROR, error=type(error).__name__)


class Room:
    """How many bytes of bodies are held; from the event loop alone."""

    def __init__(self, most: int) -> None:
        self.most, self.held = most, 0

    def take(self, count: int) -> None:
        """Hold more bytes.

        Raises
        ------
        Problem
            429, if there is no room.
        """
        if self.held + count > self.most:
            raise busy("the service holds as many bytes of images as it may; try again soon")
        self.held += count

    def give(self, count: int) -> None:
        """Let bytes go."""
        self.held -= count


@dataclass
class Service:
    """A bundle being served; every route finds it at ``request.app.state.service``.

    Attributes
    ----------
    settings : ServiceSettings
    engine : Engine
        Its ``opened`` is the bundle in use.
    metrics : Metrics
    tokens : Tokens or None
    room : Room
    drift, feedback : or None
        Where the service keeps them.
    draining : bool
        Whether the service is about to end.
    under_way : int
        Requests being answered.
    """

    settings: ServiceSettings
    engine: Engine
    metrics: Metrics
    tokens: Tokens | None
    room: Room
    drift: Drift | None = None
    feedback: Feedback | None = None
    draining: bool = False
    under_way: int = 0
    _noted: deque[tuple[int, float, list[tuple[Prediction, str, float]]]] = field(default_factory=deque)

    def observe(self, jobs: Sequence[Job], seconds: float) -> None:
        """Remember a scored batch before its requests are answered, and note it; in an engine's thread."""
        found = []
        for job in jobs:
            if not isinstance(job.found, Prediction):
                continue
            if self.feedback is not None:
                with _costing_nothing():
                    self._keep(self.feedback, job.id, job.opened.digest, job.found)
            decoding = 0.0 if job.prepared is None else job.prepared.seconds
            found.append((job.found, job.opened.digest, decoding))
        self._noted.append((len(jobs), seconds, found))
        if len(self._noted) >= NOTED:
            self.settle()

    def settle(self) -> None:
        """Count and watch what was noted: later than its answers, which need not wait; in any thread."""
        while True:
            try:
                size, seconds, found = self._noted.popleft()
            except IndexError:
                return
            with _costing_nothing():
                self.metrics.batch.observe(size)
                self.metrics.inference.observe(seconds)
                self.metrics.count([one for one, _, _ in found])
                for one, digest, decoding in found:
                    self.metrics.decode.observe(decoding)
                    self._watch(digest, one)

    def _watch(self, digest: str, one: Prediction) -> None:
        if self.drift is not None and one.score is not None and digest == self.engine.opened.digest:
            self.drift.add(one.score, one.probability, one.features)

    @staticmethod
    def _keep(feedback: Feedback, id: str, digest: str, one: Prediction) -> None:
        if one.score is not None and one.decision is not None and one.threshold is not None:
            feedback.remember(
                id,
                bundle=digest,
                score=one.score,
                probability=one.probability,
                decision=one.decision,
                threshold=one.threshold,
            )

    def admit(self) -> None:
        """Let a request for a prediction in.

        Raises
        ------
        Problem
            503 while the service ends; 429 if as many images wait as may.
        """
        if self.draining:
            raise Problem(503, "the service is ending", {"Retry-After": "5", "Connection": "close"})
        if self.engine.full:
            raise busy("as many images wait as may; try again soon")


def score_bounds(thresholds: Sequence[float], quantiles: Sequence[float]) -> list[float]:
    """Choose buckets for scores: tenths of what the training images scored, and the thresholds."""
    known = [*thresholds, *quantiles]
    low, high = min(known), max(known)
    pad = max(high - low, 1e-6) / 2
    steps = np.linspace(low - pad, high + pad, 13)
    return sorted({float(f"{value:.4g}") for value in (*steps, *thresholds)})
