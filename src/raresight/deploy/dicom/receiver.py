"""The receiving side: C-ECHO and C-STORE, straight to disk."""

from __future__ import annotations

import logging
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from raresight.deploy.dicom.arrival import OUT_OF_RESOURCES, SUCCESS, RefusedError, inspect
from raresight.deploy.dicom.offered import offer
from raresight.deploy.dicom.settings import NodeSettings
from raresight.deploy.dicom.spool import Spool
from raresight.deploy.dicom.wire import GREETING, LARGEST_PDU, SILENCE, bound, server_context
from raresight.errors import OptionError

logger = logging.getLogger(__name__)

CLEAN_AFTER = 600.0
"""Seconds after which a part of an object that grows no more is removed; connections end long before."""

SPARE = 20
"""Connections beyond the limit of associations, so that those who make them can be told."""

DRAIN = 10.0
"""Seconds that associations have to end by themselves when the node stops."""


class Receiver:
    """A storage SCP that writes into a spool.

    Parameters
    ----------
    settings : NodeSettings
    spool : Spool

    Attributes
    ----------
    received : int
        Objects that were kept.
    """

    def __init__(self, settings: NodeSettings, spool: Spool) -> None:
        from pynetdicom import AE

        self.settings, self.spool, self.received = settings, spool, 0
        self._over: set[Path] = set()
        self._server: Any = None
        self._before: tuple[bool, str | None] = False, None
        self._entity = AE(settings.title)
        self._entity.require_called_aet = True
        self._entity.require_calling_aet = list(settings.accept)
        self._entity.maximum_associations = settings.max_associations
        self._entity.acse_timeout = GREETING
        self._entity.maximum_pdu_size = LARGEST_PDU
        offer(self._entity)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Listen.

        Raises
        ------
        OptionError
            If the address is taken or is no address, or the TLS files cannot be used.
        """
        from pynetdicom import _config, evt

        tls = None if self.settings.tls is None else server_context(self.settings.tls)
        # Objects go to disk as they come in; on the spool's own disk, so that keeping one is a rename. Both
        # settings are the whole process's: one node in a process.
        self._before = _config.STORE_RECV_CHUNKED_DATASET, tempfile.tempdir
        _config.STORE_RECV_CHUNKED_DATASET = True
        tempfile.tempdir = str(self.spool.incoming)
        handlers: list[Any] = [
            (evt.EVT_CONN_OPEN, lambda event: bound(event.assoc.dul.socket)),
            (evt.EVT_ESTABLISHED, lambda event: event.assoc.dul.socket.socket.settimeout(SILENCE)),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_PDU_RECV, self._watch),
            (evt.EVT_REJECTED, lambda event: logger.warning("association rejected")),
            (evt.EVT_ABORTED, self._lost),
            (evt.EVT_CONN_CLOSE, self._lost),
        ]
        host, port = self.settings.host, self.settings.port
        try:
            self._server = self._entity.start_server(
                (host, port), block=False, ssl_context=tls, evt_handlers=handlers
            )
        except (OSError, OverflowError) as error:
            _config.STORE_RECV_CHUNKED_DATASET, tempfile.tempdir = self._before
            raise OptionError(
                f"nothing can listen on {host}, port {port} ({error}); choose others with --host and --port"
            ) from None

        # Beyond what is rejected with a reason, connections are closed unheard: each costs two threads.
        self._server.verify_request = self._has_room

    def _has_room(self, request: Any, address: Any) -> bool:
        return len(self._server.active_associations) < self.settings.max_associations + SPARE

    def stop(self) -> None:
        """Take no new association, and give those that are open some time to end."""
        from pynetdicom import _config

        if self._server is None:
            return
        server, self._server = self._server, None
        server.shutdown()
        until = time.monotonic() + DRAIN
        while any(one.is_established for one in server.active_associations) and time.monotonic() < until:
            time.sleep(0.05)
        for association in server.active_associations:
            association.abort()
        _config.STORE_RECV_CHUNKED_DATASET, tempfile.tempdir = self._before

    def clean(self) -> None:
        """Remove parts of objects that no connection is filling any more."""
        for path in self.spool.incoming.glob("*.dcm"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > CLEAN_AFTER:
                    path.unlink()

    def take(self, path: Path, sop_class: str | None = None, instance: str | None = None) -> bool:
        """Look at a file in `incoming` and keep it, unless it is known; gives whether it was new.

        Raises
        ------
        RefusedError
        """
        head = inspect(path, self.settings, sop_class, instance)
        if head.own or self.spool.knows(head.instance):
            path.unlink()
            return False
        self.spool.keep(path, head.study, head.instance)
        self.received += 1
        return True

    def full(self) -> bool:
        """Tell whether the disk has too little room for more."""
        return self.spool.free_bytes() < self.settings.min_free_bytes

    def _store(self, event: Any) -> Any:
        path = Path(event.dataset_path)
        try:
            if path in self._over:
                self._over.discard(path)
                raise RefusedError(OUT_OF_RESOURCES, "it is larger than the limit, or the disk is full")
            if self.full():
                raise RefusedError(OUT_OF_RESOURCES, "the disk is full")
            request = event.request
            self.take(path, str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID))
        except RefusedError as refusal:
            return self._refused(refusal.status, str(refusal))
        except OSError as error:
            return self._refused(OUT_OF_RESOURCES, f"it cannot be written ({error.strerror})")
        return SUCCESS

    def _refused(self, status: int, reason: str) -> Any:
        from pydicom import Dataset

        logger.warning("object refused: %s (status 0x%04X)", reason, status)
        answer = Dataset()
        answer.Status = status
        answer.ErrorComment = reason[:64]
        return answer

    def _watch(self, event: Any) -> None:
        """Let an object that is too large for the limit or the disk shrink while it is still coming in.

        It is read to its end, so that the sender gets a status; pynetdicom has no public way to stop it.
        """
        file = getattr(event.assoc.dimse.message, "_data_set_file", None)
        if file is None:
            return
        path = Path(file.name)
        if path in self._over or file.tell() > self.settings.max_bytes or self.full():
            self._over.add(path)
            file.seek(0)
            file.truncate()

    def _lost(self, event: Any) -> None:
        """Remove the part of an object that an association left behind."""
        file = getattr(event.assoc.dimse.message, "_data_set_file", None)
        if file is not None:
            logger.warning("association ended in the middle of an object, which is dropped")
            file.close()
            self._over.discard(Path(file.name))
            Path(file.name).unlink(missing_ok=True)
