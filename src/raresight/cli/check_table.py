"""``raresight check-table``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from raresight.evidence.published_table import TableCheck

IMPOSSIBLE = 1


def _figure(metric: str) -> Any:
    return typer.Option(f"--{metric}", help="As printed: .852 or 85.2%.", show_default=False)


def check_table(
    file: Annotated[
        Path | None, typer.Argument(help="A table: CSV, Markdown, or text with a table in it.")
    ] = None,
    accuracy: Annotated[str | None, _figure("accuracy")] = None,
    sensitivity: Annotated[str | None, _figure("sensitivity")] = None,
    specificity: Annotated[str | None, _figure("specificity")] = None,
    f1: Annotated[str | None, _figure("f1")] = None,
    precision: Annotated[str | None, _figure("precision")] = None,
    npv: Annotated[str | None, _figure("npv")] = None,
    n: Annotated[str | None, typer.Option("--n", help="Images in the test set.")] = None,
    positives: Annotated[str | None, typer.Option(help="Anomalous ones among them.")] = None,
    folds: Annotated[
        int | None, typer.Option(help="Folds that figures may be means over; by default 5 and 10 are tried.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Tell whether published accuracy, sensitivity, specificity and F1 can all be true.

    Leaves with status 1 if a row is impossible as one confusion matrix.
    """
    from raresight.cli.console import print_json
    from raresight.errors import OptionError
    from raresight.evidence.published_table import check_table as check

    flags: dict[str, object] = {
        name: value
        for name, value in {
            "accuracy": accuracy,
            "sensitivity": sensitivity,
            "specificity": specificity,
            "f1": f1,
            "precision": precision,
            "npv": npv,
            "n": n,
            "positives": positives,
        }.items()
        if value is not None
    }
    if (file is None) == (not flags):
        raise OptionError("give either a file with a table or figures such as --accuracy .852 --f1 .823")
    found = check(file if file is not None else flags, folds=folds)
    if as_json:
        print_json({"rows": found.rows, "across": found.across})
    else:
        _show(found)
    if not found.consistent:
        raise typer.Exit(IMPOSSIBLE)


def _show(found: TableCheck) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from raresight.evidence.format import decimal
    from raresight.evidence.published_table import title

    names = list(dict.fromkeys(name for row in found.rows for name in row["figures"]))
    headings = [title(name)[0].upper() + title(name)[1:] for name in names]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("")
    for heading in (*headings, "Expected", ""):
        table.add_column(heading, no_wrap=True)
    for row in found.rows:
        follows = {} if row["consistent"] else row["expected"]
        expected = ", ".join(f"{title(name)} {decimal(value)}" for name, value in follows.items())
        cells = [decimal(row["figures"].get(name)) for name in names]
        verdict = "possible" if row["consistent"] else "impossible"
        called = escape(", ".join(filter(None, (row["model"], row["dataset"]))))
        table.add_row(called, *cells, expected or "–", verdict)
    # A pipe has no width; rich would take it for 80 columns and cut the table.
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    sentences = [f"{row['model']}: {row['reason']}{_other_readings(row)}" for row in found.rows]
    news = [g["sentence"] for g in found.across if g["reading"] != "single" or not g["agree"]]
    for sentence in (*sentences, *news):
        console.print(escape(sentence), highlight=False, soft_wrap=True)


def _other_readings(row: dict[str, Any]) -> str:
    """Say what else than one confusion matrix could explain a row that is impossible as one."""
    from raresight.evidence.format import decimal
    from raresight.evidence.published_table import between

    if row["consistent"]:
        return ""
    said = []
    if (found := row["balanced_prevalence"]) is not None:
        prevalence = between([found["low"], found["high"]], found["value"])
        said.append(
            f"accuracy that is the mean of sensitivity and specificity, at a prevalence of {prevalence}"
        )
    strays = {folds: spread for folds, spread in row["fold_spread"].items() if spread is not None}
    if strays:
        distances = ", ".join(f"{decimal(spread, 2)} with {folds} folds" for folds, spread in strays.items())
        said.append(f"means over folds that stray from them by {distances}")
    return f" Could be: {'; or '.join(said)}." if said else " None of the other readings explains it."
