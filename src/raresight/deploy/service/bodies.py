"""Request bodies: read with limits on bytes and on time, and never written to disk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO

from starlette.requests import Request
from starlette.types import Receive

from raresight.deploy.service.multipart import Multipart
from raresight.deploy.service.problems import Gone, Problem
from raresight.deploy.service.service import Room, Service
from raresight.deploy.service.settings import MEGABYTE, ServiceSettings
from raresight.errors import ImageError
from raresight.images.readers import format_of

DRAIN_SECONDS = 5.0
"""How long the rest of a body that is too large is read and thrown away: a client that is still sending
would otherwise see the connection break and not the answer."""

OTHER = ("text/", "application/json", "application/x-www-form-urlencoded")
"""What the types of bodies that hold no image start with."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that a client sent.

    Attributes
    ----------
    name : str
        Without folders and control characters; ``image`` where it has none.
    content : bytes
    """

    name: str
    content: bytes


@asynccontextmanager
async def received(request: Request, service: Service) -> AsyncIterator[list[Upload]]:
    """Read a request's images; the bytes count as held until they are left.

    Raises
    ------
    Problem
        400 (empty, malformed), 408 (too slow), 413 (too large, too many), 415 (no image), 429 (no room).
    Gone
        If the client leaves meanwhile.
    """
    reader = _Reader(request, service.settings, service.room)
    try:
        yield await reader.uploads()
    finally:
        service.room.give(reader.size)


class _Reader:
    def __init__(self, request: Request, settings: ServiceSettings, room: Room) -> None:
        self._receive: Receive = request.receive
        self._headers = request.headers
        self._settings, self._room = settings, room
        self.size = 0

    async def uploads(self) -> list[Upload]:
        kind = self._headers.get("content-type", "")
        if kind.lower().startswith("multipart/"):
            found = await self._multipart(kind)
        elif kind.lower().startswith(OTHER):
            raise Problem(415, "send an image, or several as multipart/form-data with the field file")
        else:
            content = BytesIO()
            async for part in self._parts():
                content.write(part)
            found = [Upload("image", content.getvalue())]
        if not found or not any(each.content for each in found):
            raise Problem(400, "the request holds no image: the body, or every file in it, is empty")
        if len(found) == 1:
            check_format(found[0].content)
        return found

    async def _multipart(self, kind: str) -> list[Upload]:
        form = Multipart(kind, self._settings.images)
        async for part in self._parts():
            form.write(part)
        return [Upload(name, content) for name, content in form.files()]

    async def _parts(self) -> AsyncIterator[bytes]:
        """Give the body bit by bit, within the limits."""
        await self._check_length()
        settings = self._settings
        start = time.monotonic()
        more = True
        while more:
            until = start + settings.body_seconds + self.size / settings.body_rate
            try:
                async with asyncio.timeout(until - time.monotonic()):
                    message = await self._receive()
            except TimeoutError:
                raise Problem(408, "the body came too slowly", {"Connection": "close"}) from None
            if message["type"] == "http.disconnect":
                raise Gone
            part, more = message.get("body", b""), message.get("more_body", False)
            if self.size + len(part) > settings.body_bytes:
                await self._too_large(drain=more)
            self._room.take(len(part))
            self.size += len(part)
            if part:
                yield part

    async def _check_length(self) -> None:
        given = self._headers.get("content-length", "")
        if given.isascii() and given.isdigit() and int(given) > self._settings.body_bytes:
            # A client that asks first (Expect) has sent nothing yet.
            await self._too_large(drain="expect" not in self._headers)

    async def _too_large(self, *, drain: bool) -> None:
        if drain:
            try:
                async with asyncio.timeout(DRAIN_SECONDS):
                    while (await self._receive()).get("more_body", False):
                        pass
            except TimeoutError:
                pass
        limit = self._settings.body_bytes / MEGABYTE
        raise Problem(413, f"the body is larger than the limit of {limit:g} MB", {"Connection": "close"})


def check_format(content: bytes) -> None:
    """Refuse what is no image by its first bytes.

    Raises
    ------
    Problem
        400 where there are no bytes, 415 where they are of no format that can be read.
    """
    if not content:
        raise Problem(400, "the file is empty")
    try:
        format_of(content)
    except ImageError as error:
        raise Problem(415, str(error)) from None
