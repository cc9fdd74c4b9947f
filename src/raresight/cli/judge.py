"""``raresight judge``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from raresight.evidence.judge import Judgement


def judge(
    predictions: Annotated[Path, typer.Argument(help="CSV or Parquet: recipe, label, score, …")],
    baseline: Annotated[
        str, typer.Option(help="The recipe, or the balance, that others are judged against.")
    ] = "none",
    stochastic: Annotated[str, typer.Option(help="Recipes whose training is random, comma-separated.")] = "",
    out: Annotated[Path | None, typer.Option(help="Write a page, too.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Judge predictions that any tool made: metrics, intervals, verdicts."""
    from raresight.cli.console import print_json, say
    from raresight.evidence.judge import judge as weigh
    from raresight.evidence.judge import read_predictions
    from raresight.spec import split_specs

    drawn = split_specs(stochastic) if stochastic.strip() else []
    found = weigh(read_predictions(predictions), baseline, stochastic=drawn)
    if out is not None:
        from raresight.report.judgement import write_judgement

        say(f"page: {write_judgement(found, out, predictions.name)}")
    if as_json:
        print_json(found.as_dict())
        return
    for note in found.notes:
        say(note)
    print_judgement(found)


def print_judgement(found: Judgement) -> None:
    """Print each recipe's metrics, then each verdict's sentence."""
    from rich.console import Console
    from rich.table import Table

    from raresight.evidence.format import estimate_text
    from raresight.evidence.metrics import METRICS

    shown = ("auroc", "auprc", "sensitivity_at_95_specificity", "brier", "sensitivity", "specificity")
    known = [name for name in shown if any(name in row["metrics"] for row in found.metrics)]
    table = Table(box=None, header_style="bold")
    for name in ("recipe", *(METRICS[name].title for name in known)):
        table.add_column(name, no_wrap=True)
    for row in found.metrics:
        cells = [row["metrics"].get(name) for name in known]
        table.add_row(row["recipe"], *("–" if cell is None else estimate_text(cell) for cell in cells))
    console = Console(highlight=False, width=max(Console().width, 160))
    console.print(table)
    for verdict in found.verdicts:
        console.print(f"\n{verdict['sentence']}", soft_wrap=True, markup=False)
