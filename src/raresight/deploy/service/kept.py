"""What a service keeps of the images it saw: drift always, feedback and the drift's window where told to."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from raresight.deploy.drift import DriftMonitor
from raresight.deploy.feedback import FeedbackStore
from raresight.deploy.service.logs import log
from raresight.deploy.service.opened import Opened
from raresight.deploy.service.service import Service
from raresight.errors import OptionError

FEEDBACK = "feedback.sqlite"
WINDOW = "drift.npz"
"""Files of the state's folder."""

EVERY = 60.0
"""Seconds between two times that the window is written."""


def open_drift(opened: Opened, state: Path | None) -> DriftMonitor | None:
    """Watch a bundle's images, going on where an earlier service of the same bundle ended.

    Returns
    -------
    DriftMonitor or None
        None where the bundle has no scores to hold new ones to.
    """
    stated = opened.predictor.facts.calibration
    try:
        reference = json.loads(opened.predictor.files["reference.json"])
        monitor = DriftMonitor(reference, prevalence=None if stated is None else float(stated["stated_at"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    if state is not None:
        monitor.restore(state / WINDOW, opened.digest)
    return monitor


def open_feedback(state: Path | None) -> FeedbackStore | None:
    """Open the feedback of a state's folder, which is made if it is not there.

    Raises
    ------
    OptionError, RunError
        If it cannot be used.
    """
    if state is None:
        return None
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(
            f"--state {state} cannot be used as a folder ({error.strerror}); name another"
        ) from error
    return FeedbackStore(state / FEEDBACK)


@asynccontextmanager
async def keeping(service: Service) -> AsyncIterator[None]:
    """Write the window of images now and then, and at the end."""
    if service.settings.state is None:
        yield
        return
    task = asyncio.ensure_future(_keep(service))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await asyncio.to_thread(_save, service)
        if service.feedback is not None:
            service.feedback.close()


async def _keep(service: Service) -> None:
    while True:
        await asyncio.sleep(EVERY)
        await asyncio.to_thread(_save, service)


def _save(service: Service) -> None:
    if service.drift is None or service.settings.state is None:
        return
    try:
        service.settle()
        service.drift.save(service.settings.state / WINDOW, service.engine.opened.digest)
    except OSError as error:
        log("drift not kept", logging.ERROR, error=type(error).__name__)
