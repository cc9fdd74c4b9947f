"""``raresight report``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """Forms of a report."""

    html = "html"
    md = "md"
    tex = "tex"


def report(
    run: Annotated[Path, typer.Argument(help="A run's or a sweep's folder.")],
    form: Annotated[Format, typer.Option("--format", help="A page, Markdown or LaTeX.")] = Format.html,
    out: Annotated[
        Path | None, typer.Option("--out", help="Where to write it; by default into the run.")
    ] = None,
) -> None:
    """Write the report of a run: tables, figures, receipt."""
    from raresight.experiment.run import Run
    from raresight.experiment.sweep import Sweep, is_sweep
    from raresight.report import write_report, write_sweep

    if is_sweep(run):
        print(write_sweep(Sweep(run), out, form.value))
        return
    print(write_report(Run(run), out, format=form.value))
