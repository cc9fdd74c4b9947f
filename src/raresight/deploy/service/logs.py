"""One JSON object a line on stderr; never a file name, a token, an address or anything a client sent."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from threading import Event, Thread
from typing import Any, TextIO

LOGGER = logging.getLogger("raresight.service")

PAUSE = 0.1
"""Seconds between writes."""

MOST = 100_000
"""Lines that may wait: where nobody reads them, the oldest are lost and not the memory."""


def log(event: str, level: int = logging.INFO, **facts: Any) -> None:
    """Write an event and its facts."""
    if LOGGER.isEnabledFor(level):
        LOGGER.log(level, event, extra={"facts": facts})


class JsonLines(logging.Formatter):
    """Gives ``time``, ``level``, ``event`` and the event's facts."""

    def format(self, record: logging.LogRecord) -> str:
        """Give a record as one line; a traceback is left out, since what it quotes may be a client's."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        content = {"time": when, "level": record.levelname.lower(), "event": record.getMessage()}
        return json.dumps(content | getattr(record, "facts", {}))


class Lines(logging.Handler):
    """Writes lines a few at a time, in a thread of its own: nobody waits for the disk or the pipe.

    Parameters
    ----------
    stream : text stream
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._waiting: deque[logging.LogRecord] = deque(maxlen=MOST)
        self._ending = Event()
        self._thread = Thread(target=self._run, name="logs", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record."""
        self._waiting.append(record)

    def flush(self) -> None:
        """Write what waits."""
        lines = []
        while self._waiting:
            lines.append(self.format(self._waiting.popleft()) + "\n")
        if lines:
            with suppress(OSError, ValueError):  # nobody reads any more
                self._stream.write("".join(lines))
                self._stream.flush()

    def close(self) -> None:
        """Write the last lines."""
        self._ending.set()
        self._thread.join()
        super().close()

    def _run(self) -> None:
        while not self._ending.wait(PAUSE):
            self.flush()
        self.flush()


@contextmanager
def written_logs() -> Iterator[None]:
    """Send the service's events and the server's errors to stderr, and no warning: pydicom's quote files."""
    handler = Lines(sys.stderr)
    handler.setFormatter(JsonLines())
    for name, level in (("raresight.service", logging.INFO), ("uvicorn", logging.ERROR)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        handler.close()
