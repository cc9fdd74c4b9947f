"""Connections with deadlines and limits, which uvicorn leaves to a proxy in front of it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from raresight.deploy.service.problems import MEDIA_TYPE, Problem

HEADER_BYTES = 32_768
"""Of a request's line and headers, at most."""

STALLED_SECONDS = 30.0
"""How long a client may leave an answer unread before its connection is cut."""

REFUSED_SECONDS = 1.0
"""How long a client whose request was refused may go on sending."""


def limited(header_seconds: float, connections: int) -> type[HttpToolsProtocol]:
    """Make the protocol of one server.

    Parameters
    ----------
    header_seconds : float
        Within which a connection must have sent a whole header, from its start or from the first byte of a
        later request on; and the rest of a body that was answered before its end.
    connections : int
        At once; further ones are told 503 and closed.
    """

    class Limited(LimitedProtocol):
        seconds, most = header_seconds, connections

    return Limited


class LimitedProtocol(HttpToolsProtocol):
    """HTTP/1.1 for one connection; see `limited`."""

    seconds = 10.0
    most = 2000

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._in_header, self._refused = True, False
        self._header_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or send it away."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            self._refuse(503, "too many connections; try again soon")
            return
        self._expect_within(self.seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadlines."""
        self._expect_nothing()
        self._resumed()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes, as long as the header fits."""
        if self._refused or self.transport.is_closing():
            return
        within = self._in_header
        super().data_received(data)
        if self.transport.is_closing():
            return
        if within and self._in_header:
            self._header_bytes += len(data)
            if self._header_bytes > HEADER_BYTES and not self._refused:
                self._refuse(431, f"the request's header is longer than {HEADER_BYTES:,} bytes")
        # Empty lines between requests, or the end of a body that nobody wanted, have stopped every clock.
        between = self.cycle is None or self.cycle.response_complete
        if between and self._deadline is None and self.timeout_keep_alive_task is None:
            self._expect_within(self.seconds)

    def on_message_begin(self) -> None:
        """Start the clock of a header."""
        super().on_message_begin()
        self._in_header, self._header_bytes = True, 0
        if self._deadline is None:
            self._expect_within(self.seconds)

    def on_headers_complete(self) -> None:
        """Stop the clock: the body's is the reader's."""
        self._in_header = False
        self._expect_nothing()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Stop the clock of a body that is thrown away."""
        self._expect_nothing()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Give a client that is still sending a while to end."""
        super().on_response_complete()
        if self.cycle.more_body and not self.transport.is_closing():
            self._expect_within(self.seconds)

    def pause_writing(self) -> None:
        """Start the clock of a client that does not read."""
        super().pause_writing()
        self._resumed()
        self._stalled = self.loop.call_later(STALLED_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop it."""
        self._resumed()
        super().resume_writing()

    def _resumed(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(400, "the request is not valid HTTP/1.1")

    def _refuse(self, status: int, detail: str) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.close()  # this would be taken for the answer to the request before
            return
        problem = Problem(status, detail)
        title = problem.as_dict()["title"]
        content = json.dumps(problem.as_dict()).encode()
        head = (
            f"HTTP/1.1 {status} {title}\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {len(content)}\r\n"
            "cache-control: no-store\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + content)
        if status == 503 or not self.transport.can_write_eof():
            self.transport.close()
            return
        # Closed while bytes wait to be read, the connection would be reset, and the answer lost with it.
        self._refused = True
        self.transport.write_eof()
        self._expect_within(REFUSED_SECONDS)

    def _expect_within(self, seconds: float) -> None:
        self._expect_nothing()
        self._deadline = self.loop.call_later(seconds, self._too_late)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        self._deadline = None
        if self.transport.is_closing():
            return
        if self._in_header and self.headers is not None and not self._refused:
            self._refuse(408, "the request's header came too slowly")
        else:
            self.transport.close()
