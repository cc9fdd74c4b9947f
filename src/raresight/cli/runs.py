"""``raresight runs``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from raresight.experiment.listed import Listed


def runs(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="That holds runs, or a run.")] = Path(
        "runs"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List runs: how far they are, what failed and why, seconds and bytes by stage."""
    from raresight.cli.console import print_json
    from raresight.experiment.listed import list_runs

    found = list_runs(folder)
    if as_json:
        print_json({"runs": [listed.as_dict() for listed in found]})
        return
    print_runs(found)


def print_runs(found: list[Listed]) -> None:
    """Print a line a run, and below it a line a failure."""
    from rich.console import Console
    from rich.table import Table

    from raresight.cli.compare import TABLE_WIDTH

    table = Table(box=None, header_style="bold")
    for name in ("run", "set", "state", "tasks", "seconds", "megabytes"):
        table.add_column(name, overflow="fold")
    for listed in found:
        table.add_row(
            listed.path,
            listed.data,
            listed.state,
            f"{listed.done}/{listed.tasks}",
            parts(listed.seconds, 1),
            parts(listed.bytes, 1e6),
        )
    console = Console(highlight=False, width=max(Console().width, TABLE_WIDTH))
    console.print(table)
    for listed in found:
        for row in listed.failures:
            where = f"{listed.path}: {row['recipe']}, repeat {row['repeat']}, fold {row['fold']}"
            console.print(f"{where} failed: {row['reason']}", soft_wrap=True, markup=False)


def parts(numbers: dict[str, float] | dict[str, int], unit: float) -> str:
    """Give numbers by name, for people."""
    return ", ".join(f"{name} {value / unit:,.1f}" for name, value in numbers.items())
