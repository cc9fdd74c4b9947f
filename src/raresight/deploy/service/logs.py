"""One JSON object a line on stderr; never a file name, a token, an address or anything a client sent."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

LOGGER = logging.getLogger("raresight.service")


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


def write_logs() -> None:
    """Send the service's events, and the server's warnings, to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name, level in (("raresight.service", logging.INFO), ("uvicorn", logging.ERROR)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
