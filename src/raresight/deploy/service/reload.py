"""A new version of the bundle, taken into use while requests go on; the old one stays where it fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from raresight.deploy.service.kept import open_drift
from raresight.deploy.service.logs import log
from raresight.deploy.service.opened import open_bundle
from raresight.deploy.service.service import Service
from raresight.errors import RaresightError

Stamp = tuple[tuple[str, int, int, int], ...]


class Reloader:
    """Loads the bundle anew when told to, or when its folder changes.

    Parameters
    ----------
    service : Service
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._one = asyncio.Lock()

    async def reload(self) -> bool:
        """Load the bundle, hold it to its self-test, and take it into use; or go on with the one in use.

        A request that is under way ends with the bundle that it began with.

        Returns
        -------
        bool
            Whether it is in use.
        """
        service = self._service
        settings = service.settings
        async with self._one:
            try:
                opened = await asyncio.to_thread(
                    open_bundle, settings.bundle, threads=settings.threads, max_pixels=settings.max_pixels
                )
            except Exception as error:
                service.metrics.reloads.labels("failed").inc()
                # What a bundle's own error says names files of the bundle, which are no patient's.
                said = str(error) if isinstance(error, RaresightError) else type(error).__name__
                log("bundle refused, the old one stays", logging.ERROR, error=said)
                return False
            service.engine.opened = opened
            service.drift = open_drift(opened, settings.state)
        name = opened.predictor.facts.name
        service.metrics.name_model(name, opened.digest)
        service.metrics.reloads.labels("done").inc()
        log("bundle loaded", name=name, bundle=opened.digest)
        return True

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Look at the folder again and again, where the settings say so."""
        if not self._service.settings.watch:
            yield
            return
        task = asyncio.ensure_future(self._watch())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _watch(self) -> None:
        """Reload when the folder has changed and then stood still for one look: copying takes time."""
        settings = self._service.settings
        tried = last = await asyncio.to_thread(stamp, settings.bundle)
        while True:
            await asyncio.sleep(settings.watch_seconds)
            now = await asyncio.to_thread(stamp, settings.bundle)
            if now != tried and now == last:
                tried = now
                await self.reload()
            last = now


def stamp(folder: Path) -> Stamp:
    """Give name, size, time and number of every file of a folder or of what a link leads to."""
    found = []
    with suppress(OSError):
        for path in sorted(folder.resolve().rglob("*")):
            with suppress(OSError):
                status = path.stat()
                found.append((str(path), status.st_size, status.st_mtime_ns, status.st_ino))
    return tuple(found)
