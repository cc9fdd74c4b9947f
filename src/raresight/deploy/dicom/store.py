"""Sending by C-STORE."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from raresight.deploy.dicom.sender import RejectedError, UnreachableError
from raresight.deploy.dicom.settings import NodeSettings
from raresight.deploy.dicom.wire import LARGEST_PDU, client_context

RESULTS = (
    "Comprehensive3DSRStorage",
    "SecondaryCaptureImageStorage",
    "GrayscaleSoftcopyPresentationStateStorage",
    "ColorSoftcopyPresentationStateStorage",
)
"""Classes of what a node makes."""

CONNECT = 10.0
ANSWER = 60.0
"""Seconds to connect, and to answer to one object."""


def is_success(status: int) -> bool:
    """Tell whether an object is stored, be it with a warning (PS3.4 B.2.3)."""
    return status in (0x0000, 0x0001, 0x0107, 0x0116) or 0xB000 <= status <= 0xBFFF


def is_temporary(status: int) -> bool:
    """Tell whether it may be taken later: out of resources, processing failure, resource limitation."""
    return 0xA700 <= status <= 0xA7FF or status in (0x0110, 0x0213)


class StoreReceiver:
    """A PACS.

    Parameters
    ----------
    settings : NodeSettings
        With `send_to`.
    """

    def __init__(self, settings: NodeSettings) -> None:
        from pynetdicom import AE, sop_class

        assert settings.send_to is not None
        self.peer = settings.send_to
        tls = settings.tls if settings.send_tls else None
        self._tls = None if tls is None else (client_context(tls), self.peer.host)
        self._entity = AE(settings.title)
        self._entity.connection_timeout = CONNECT
        self._entity.dimse_timeout = ANSWER
        self._entity.maximum_pdu_size = LARGEST_PDU
        for name in RESULTS:
            self._entity.add_requested_context(str(getattr(sop_class, name)))

    def send(self, files: Sequence[Path], arrived: Callable[[Path], None]) -> None:
        """Send files over one association, and name each that has arrived.

        Raises
        ------
        UnreachableError, RejectedError
        """
        if not files:
            return
        peer = self.peer
        association = self._entity.associate(peer.host, peer.port, ae_title=peer.title, tls_args=self._tls)
        if not association.is_established:
            raise UnreachableError(
                "the PACS rejects the association" if association.is_rejected else "no PACS there"
            )
        try:
            for file in files:
                self._send(association, file)
                arrived(file)
        finally:
            if association.is_established:
                association.release()

    def _send(self, association: Any, file: Path) -> None:
        try:
            answer = association.send_c_store(file)
        except ValueError:
            raise RejectedError("the PACS does not take results of this class") from None
        except RuntimeError:
            raise UnreachableError("the PACS ended the association") from None
        if not answer or "Status" not in answer:
            raise UnreachableError("the PACS gave no answer to a result")
        status = int(answer.Status)
        if is_temporary(status):
            raise UnreachableError(f"the PACS cannot take a result now (status 0x{status:04X})")
        if not is_success(status):
            raise RejectedError(f"the PACS refuses a result (status 0x{status:04X})")
