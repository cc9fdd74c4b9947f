"""Images from a DICOMweb service, on a schedule, into the same spool as those that are sent."""

from __future__ import annotations

import logging
import time
from threading import Event
from uuid import uuid4

from raresight.deploy.dicom.arrival import RefusedError
from raresight.deploy.dicom.offered import image_classes
from raresight.deploy.dicom.receiver import Receiver
from raresight.deploy.dicom.settings import NodeSettings
from raresight.deploy.dicom.web import client, download, search

logger = logging.getLogger(__name__)


class Fetcher:
    """Asks a service for images and fetches those that are not known.

    Parameters
    ----------
    settings : NodeSettings
        With `fetch`.
    receiver : Receiver
    stopping : Event
    """

    def __init__(self, settings: NodeSettings, receiver: Receiver, stopping: Event) -> None:
        assert settings.fetch is not None
        self.settings, self.receiver, self.stopping = settings, receiver, stopping
        self._client = client(settings.fetch, settings.token)
        self._classes = set(image_classes())
        self._refused: set[str] = set()
        self._next = 0.0

    def work(self) -> bool:
        """Look for new images once the time has come; gives whether any came."""
        from requests import RequestException

        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + self.settings.every
        before = self.receiver.received
        try:
            for sop_class, *uids in search(self._client, self.settings.query):
                if self.stopping.is_set() or self.receiver.full():
                    break
                if sop_class in self._classes and all(uids):
                    self._fetch(sop_class, (uids[0], uids[1], uids[2]))
        except (RequestException, OSError) as error:
            logger.warning("nothing fetched: the DICOMweb service fails (%s)", type(error).__name__)
        count = self.receiver.received - before
        if count:
            logger.info("%d images fetched", count)
        return count > 0

    def _fetch(self, sop_class: str, uids: tuple[str, str, str]) -> None:
        name = self.receiver.spool.name(uids[2])
        if self.receiver.spool.holds(uids[0], uids[2]) or name in self._refused:
            return
        path = self.receiver.spool.incoming / f"{uuid4().hex}.dcm"
        try:
            download(self._client, uids, path, self.settings.max_bytes)
            if not self.receiver.take(path, sop_class, uids[2]):
                self._refused.add(name)  # a result of our own: not to be fetched again and again
        except RefusedError as refusal:
            self._refused.add(name)
            logger.warning("object refused: %s", refusal)
        finally:
            path.unlink(missing_ok=True)
