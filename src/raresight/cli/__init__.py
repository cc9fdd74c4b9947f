"""The command line: parse, call the API, print."""

from __future__ import annotations

import sys
import warnings


def main() -> None:
    """Run ``raresight``; what a user can cause ends in one sentence and status 2."""
    from raresight.cli.app import app
    from raresight.cli.console import guarded

    if not sys.warnoptions and "--debug" not in sys.argv:
        # A library's warning may quote a damaged file, and with it a patient.
        warnings.simplefilter("ignore")
    sys.exit(guarded(app, sys.argv[1:]))
