"""A node: it receives, scores and sends, each in a thread of its own."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Event, Thread

from raresight.deploy.dicom.maker import bundle_hash
from raresight.deploy.dicom.quiet import silence_libraries
from raresight.deploy.dicom.receiver import Receiver
from raresight.deploy.dicom.scorer import Scorer
from raresight.deploy.dicom.sender import Sender, Target
from raresight.deploy.dicom.settings import NodeSettings, need_dicom
from raresight.deploy.dicom.spool import Spool
from raresight.deploy.predictor import Predictor

logger = logging.getLogger(__name__)

PAUSE = 0.2
"""Seconds between two looks at the spool when there is nothing to do."""

HOUSEKEEPING = 60.0
"""Seconds between two looks for leftovers."""

ENDING = 30.0
"""Seconds that each thread has to end when the node stops; the next start does again what it was doing."""


class Node:
    """A DICOM node around a bundle.

    Parameters
    ----------
    predictor : Predictor
    settings : NodeSettings

    Raises
    ------
    MissingExtraError
        If the extra ``dicom`` is not installed.
    OptionError
        If the bundle has no such threshold, the spool is another node's, or an option cannot be used.
    """

    def __init__(self, predictor: Predictor, settings: NodeSettings) -> None:
        need_dicom()
        silence_libraries()
        predictor.facts.threshold(settings.threshold)
        self.settings, self.stopping = settings, Event()
        self.spool = Spool(settings.spool, bundle_hash(predictor.folder))
        self.receiver = Receiver(settings, self.spool)
        self.scorer = Scorer(predictor, settings, self.spool, self.stopping)
        self.sender = Sender(_target(settings), self.spool, settings.retry, self.stopping)
        self._threads: list[Thread] = []

    def start(self) -> None:
        """Go on with what the spool holds, and listen.

        Raises
        ------
        OptionError
            If nothing can listen there.
        """
        try:
            self.receiver.start()
        except BaseException:
            self.spool.close()
            raise
        tasks: dict[str, Callable[[], bool]] = {"scorer": self.scorer.work, "sender": self.sender.work}
        if self.settings.fetch is not None:
            from raresight.deploy.dicom.fetch import Fetcher

            tasks["fetcher"] = Fetcher(self.settings, self.receiver, self.stopping).work
        self._threads = [
            Thread(target=self._repeat, args=(name, task), name=name) for name, task in tasks.items()
        ]
        for thread in self._threads:
            thread.start()
        logger.info("listening on port %d; spool: %s", self.receiver.port, self.spool.counts())

    def wait(self) -> None:
        """Wait until the node is told to stop, and tidy up now and then."""
        while not self.stopping.wait(HOUSEKEEPING):
            self.receiver.clean()

    def stop(self) -> None:
        """Stop: no new association, those open may end, the spool keeps what is left."""
        self.stopping.set()
        self.receiver.stop()
        until = time.monotonic() + ENDING
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        self.spool.close()
        logger.info("stopped; spool: %s", self.spool.counts())

    def _repeat(self, name: str, task: Callable[[], bool]) -> None:
        while not self.stopping.is_set():
            try:
                busy = task()
            except Exception as error:  # a full disk, say: the node must outlive it
                logger.error("%s: %s; going on", name, type(error).__name__)
                busy = False
                self.stopping.wait(1.0)
            if not busy:
                self.stopping.wait(PAUSE)


def _target(settings: NodeSettings) -> Target:
    if settings.send_to is not None:
        from raresight.deploy.dicom.store import StoreReceiver

        return StoreReceiver(settings)
    from raresight.deploy.dicom.web import WebReceiver

    return WebReceiver(settings)
