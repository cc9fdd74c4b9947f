"""``raresight demo``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

DATA = "phantom:brain?n=240&anomalies=0.2&difficulty=0.2"


def demo(
    out: Annotated[Path | None, typer.Option(help="The run's folder; by default runs/<hash>.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Walk the whole path on made-up brain slices, in minutes, without any data of yours."""
    import shlex

    from raresight.cli.compare import finish
    from raresight.cli.console import bars, say
    from raresight.experiment.runner import compare
    from raresight.images.load import load

    images = load(DATA)
    say(f"{len(images)} made-up brain slices, one in five with a lesion")
    run = compare(
        images,
        models=["cnn", "svm", "rf"],
        balance=["none", "smote"],
        folds=3,
        out=out,
        command=shlex.join(["raresight", *sys.argv[1:]]),
        progress=bars,
        say=say,
    )
    return finish(run, as_json)
