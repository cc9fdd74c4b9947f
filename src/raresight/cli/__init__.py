"""The command line: parse, call the API, print."""

from __future__ import annotations

import sys


def main() -> None:
    """Run ``raresight``; what a user can cause ends in one sentence and status 2."""
    from raresight.cli.app import app
    from raresight.cli.console import guarded

    sys.exit(guarded(app, sys.argv[1:]))
