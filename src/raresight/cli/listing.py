"""``raresight list``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Kind(StrEnum):
    """What can be listed."""

    samplers = "samplers"
    detectors = "detectors"
    representations = "representations"
    datasets = "datasets"
    calibrations = "calibrations"
    corruptions = "corruptions"
    explanations = "explanations"


def list_registry(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the samplers, detectors, representations, data sets, calibrations, corruptions or explanations."""
    from raresight.cli.console import print_json

    rows = _registry(kind).rows()
    if as_json:
        print_json(rows)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "what it is", "source", box=None, header_style="bold")
    for row in rows:
        table.add_row(row["name"], row["summary"], row["source"])
    Console().print(table)


def _registry(kind: Kind):  # type: ignore[no-untyped-def]
    from raresight.balance import SAMPLERS
    from raresight.detect import DETECTORS
    from raresight.evidence.calibration import CALIBRATIONS
    from raresight.explain import METHODS
    from raresight.images import DATASETS
    from raresight.represent import REPRESENTATIONS
    from raresight.stress import CORRUPTIONS

    return {
        Kind.samplers: SAMPLERS,
        Kind.detectors: DETECTORS,
        Kind.representations: REPRESENTATIONS,
        Kind.datasets: DATASETS,
        Kind.calibrations: CALIBRATIONS,
        Kind.corruptions: CORRUPTIONS,
        Kind.explanations: METHODS,
    }[kind]
