"""The libraries below write names, titles and identifiers into their logs: here they write nothing."""

from __future__ import annotations

import logging

LOUD = ("pynetdicom", "pydicom", "highdicom", "dicomweb_client", "urllib3")


def silence_libraries() -> None:
    """Keep the messages of libraries out of every log of this process."""
    for name in LOUD:
        logger = logging.getLogger(name)
        logger.handlers = [logging.NullHandler()]
        logger.propagate = False
