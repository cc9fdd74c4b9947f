"""The application: one thin file a command group, gathered here."""

from __future__ import annotations

from typing import Annotated

import typer

from raresight import __version__
from raresight.cli import (
    audit,
    auto,
    check_table,
    compare,
    demo,
    explain,
    feedback,
    judge,
    listen,
    listing,
    predict,
    report,
    runs,
    serve,
    stress,
    synthesise,
    train,
)

app = typer.Typer(
    name="raresight",
    help="Find the rare finding: train, prove and serve anomaly detectors on imbalanced medical images.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and leave."),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    pass


app.command("demo")(demo.demo)
app.command("audit")(audit.audit)
app.command("compare")(compare.compare)
app.command("auto")(auto.auto)
app.command("explain")(explain.explain)
app.command("synthesise")(synthesise.synthesise)
app.command("judge")(judge.judge)
app.command("report")(report.report)
app.command("runs")(runs.runs)
app.command("train")(train.train)
app.command("predict")(predict.predict)
app.command("serve")(serve.serve)
app.command("listen")(listen.listen)
app.command("stress")(stress.stress)
app.command("feedback")(feedback.feedback)
app.command("check-table")(check_table.check_table)
app.command("list")(listing.list_registry)
