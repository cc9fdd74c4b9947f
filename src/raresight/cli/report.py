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
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN…",
            help="A run's, a sweep's or a stress test's folder; several: one page across their sets.",
        ),
    ],
    form: Annotated[Format, typer.Option("--format", help="A page, Markdown or LaTeX.")] = Format.html,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Where to write it; by default into the run, of several ranking.html here."
        ),
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="Of the columns that compare --by kept, those to show.")
    ] = None,
) -> None:
    """Write the report of a run, or of several: tables, figures, receipt."""
    from raresight.errors import OptionError
    from raresight.experiment.run import Run
    from raresight.experiment.sweep import Sweep, is_sweep
    from raresight.report import write_ranking, write_report, write_stress, write_sweep
    from raresight.stress.folder import Stress, is_stress

    if len(runs) > 1 and any(map(is_stress, runs)):
        raise OptionError("a stress test has a page of its own; name its folder alone")
    if len(runs) > 1:
        parts = [list(Sweep(p).runs.values()) if is_sweep(p) else [Run(p)] for p in runs]
        print(write_ranking([run for part in parts for run in part], out or Path.cwd(), form.value))
    elif is_sweep(runs[0]):
        print(write_sweep(Sweep(runs[0]), out, form.value))
    elif is_stress(runs[0]):
        print(write_stress(Stress(runs[0]), out, form.value))
    else:
        columns = [] if by is None else [part.strip() for part in by.split(",")]
        print(write_report(Run(runs[0]), out, format=form.value, by=columns))
