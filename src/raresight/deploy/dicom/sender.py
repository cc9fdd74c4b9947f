"""Results to where they are wanted, until they are there."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event
from typing import Protocol

from raresight.deploy.dicom.spool import Spool

logger = logging.getLogger(__name__)


class UnreachableError(Exception):
    """The target is not there, or cannot take anything now: try again later."""


class RejectedError(Exception):
    """The target will never take this result."""


class Target(Protocol):
    """Where results go: a PACS or a DICOMweb service."""

    def send(self, files: Sequence[Path], arrived: Callable[[Path], None]) -> None:
        """Send files, and name each that has arrived.

        Raises
        ------
        UnreachableError, RejectedError
        """
        ...


class Sender:
    """Empties the outbox.

    Parameters
    ----------
    target : Target
    spool : Spool
    retry : (float, float)
        Seconds before the first retry, and at most.
    stopping : Event
    """

    def __init__(self, target: Target, spool: Spool, retry: tuple[float, float], stopping: Event) -> None:
        self.target, self.spool, self.stopping = target, spool, stopping
        self.first, self.most = retry
        self._wait, self._next = self.first, 0.0
        self.sent = 0

    def work(self) -> bool:
        """Send what there is, unless a failure was a moment ago; gives whether anything was sent."""
        if time.monotonic() < self._next:
            return False
        some = False
        for folder, files in self.spool.sending():
            if self.stopping.is_set():
                break
            try:
                self.target.send(files, self._arrived)
            except UnreachableError as error:
                logger.warning("results wait: %s; next try in %.0f s", error, self._wait)
                self._next, self._wait = time.monotonic() + self._wait, min(2 * self._wait, self.most)
                break
            except RejectedError as error:
                logger.error("results %s: %s; they are in the folder failed", folder.name, error)
                self.spool.fail(folder, str(error))
                continue
            self.spool.finish(folder)
            self._wait, some = self.first, True
            logger.info("results %s: sent", folder.name)
        return some

    def _arrived(self, file: Path) -> None:
        file.unlink()
        self.sent += 1
