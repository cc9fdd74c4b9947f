"""The wire: TLS, and limits that pynetdicom leaves to the other side."""

from __future__ import annotations

import ssl
from typing import Any

from raresight.deploy.dicom.settings import Tls
from raresight.errors import OptionError

LARGEST_PDU = 2**17
"""Bytes of a protocol data unit; 128 KiB is a compromise between calls and memory."""

SILENCE = 60.0
"""Seconds that the other side may leave a half-sent unit or a handshake."""


def bound(connection: Any) -> None:
    """Limit what a connection (pynetdicom's AssociationSocket) may bring at once, and how long it may take.

    The length of a unit is what its sender writes into it, up to 4 GiB, whatever was negotiated.
    """
    raw = connection.socket
    raw.settimeout(SILENCE)

    def receive(count: int) -> bytearray:
        if count > LARGEST_PDU + 6:
            raise ConnectionError("a protocol data unit is longer than was negotiated")
        content, at = bytearray(count), 0
        while at < count:
            got = raw.recv_into(memoryview(content)[at:])
            if not got:
                break
            at += got
        return content[:at]

    connection.recv = receive


class _LateHandshake(ssl.SSLContext):
    """Leaves the handshake to the connection's own thread, so that a silent client holds up no other."""

    def wrap_socket(self, sock: Any, *arguments: Any, **named: Any) -> ssl.SSLSocket:
        sock.settimeout(SILENCE)
        return super().wrap_socket(sock, *arguments, **{**named, "do_handshake_on_connect": False})


def server_context(tls: Tls) -> ssl.SSLContext:
    """Make what TLS needs on the side that is called (PS3.15 B.12: 1.2 and up).

    Raises
    ------
    OptionError
        If a file cannot be used.
    """
    context = _LateHandshake(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.authority is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return load_files(context, tls)


def client_context(tls: Tls) -> ssl.SSLContext:
    """Make what TLS needs on the side that calls; the other's name must be in its certificate."""
    return load_files(ssl.create_default_context(), tls)


def load_files(context: ssl.SSLContext, tls: Tls) -> ssl.SSLContext:
    """Load certificate, key and authority.

    Raises
    ------
    OptionError
        If one cannot be used.
    """
    try:
        context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ValueError) as error:
        raise OptionError(
            f"{tls.certificate} and {tls.key} are no certificate and key in PEM format "
            f"({type(error).__name__}); check --tls-cert and --tls-key"
        ) from None
    if tls.authority is not None:
        try:
            context.load_verify_locations(tls.authority)
        except (OSError, ValueError) as error:
            raise OptionError(
                f"{tls.authority} is no certificate in PEM format ({type(error).__name__}); check --tls-ca"
            ) from None
    return context
