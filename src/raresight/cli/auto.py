"""``raresight auto``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from raresight.experiment.auto import AutoSearch


def auto(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Folder, manifest, .npz, or phantom:brain.")],
    budget: Annotated[float, typer.Option(help="Minutes to search for.")] = 30.0,
    models: Annotated[
        str | None,
        typer.Option(help="Detectors to try, comma-separated; by default quick ones, then networks."),
    ] = None,
    balance: Annotated[str | None, typer.Option(help="Samplers to try, comma-separated.")] = None,
    representation: Annotated[
        str | None, typer.Option(help="What the models other than networks see; several are tried in turn.")
    ] = None,
    normal: Annotated[
        str | None, typer.Option(help="Normal classes, comma-separated; others are anomalies.")
    ] = None,
    anomaly: Annotated[str | None, typer.Option(help="Anomalous classes, comma-separated.")] = None,
    group: Annotated[str | None, typer.Option(help="The manifest's patient column.")] = None,
    groups: Annotated[str, typer.Option(help="Images that stay together: auto, a column, or off.")] = "auto",
    folds: Annotated[int, typer.Option(help="Outer folds.")] = 5,
    repeats: Annotated[int, typer.Option(help="Repeats of the outer folds.")] = 1,
    inner_folds: Annotated[int, typer.Option(help="Folds inside the training rows.")] = 3,
    tune: Annotated[int, typer.Option(help="Settings to try for each recipe; 0: the defaults.")] = 0,
    imbalance: Annotated[
        float | None, typer.Option(help="Normal images for each anomalous one in training rows.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of splits, samplers and detectors.")] = 0,
    preprocess: Annotated[str | None, typer.Option(help="Modality: fundus, mri, ct or xray.")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes; by default one a core.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; by default runs/<hash>.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Find the recipe that suits a set within a budget of time; the same command again goes on."""
    from raresight.cli.console import bars, say
    from raresight.deploy.bundle import make_bundle
    from raresight.experiment.auto import BALANCES, MODELS, auto_compare
    from raresight.images.load import load
    from raresight.spec import split_specs

    def listed(text: str | None) -> list[str]:
        return split_specs(text) if text else []

    images = load(data, normal=listed(normal), anomaly=listed(anomaly), group=group)
    for note in images.notes:
        say(note)
    shared: dict[str, Any] = {
        "folds": folds,
        "repeats": repeats,
        "inner_folds": inner_folds,
        "imbalance": imbalance,
        "seed": seed,
        "groups": groups,
        "preprocess": preprocess,
        "progress": bars,
    }
    found = auto_compare(
        images,
        listed(models) or MODELS,
        listed(balance) or BALANCES,
        budget=budget,
        tune=tune,
        representation=listed(representation) or None,
        workers=workers,
        out=out,
        command=shlex.join(["raresight", *sys.argv[1:]]),
        say=say,
        **shared,
    )
    say("fitting the winner on every image")
    made = make_bundle(found.run, images, progress=bars)
    kept = made.save(found.run.path / "winner", replace=True)
    finish(found, kept, as_json)


def finish(found: AutoSearch, kept: Path, as_json: bool) -> None:
    """Write the report and print table, verdicts and winner, or one JSON document."""
    from raresight.cli.compare import print_table
    from raresight.cli.console import print_json
    from raresight.report import write_report

    path = write_report(found.run)
    if as_json:
        print_json({"run": str(found.run.path), "report": str(path), "detector": str(kept), **found.summary})
        return
    print_table(found.run)
    for verdict in found.summary["verdicts"]:
        if verdict["metric"] == "auroc":
            print(f"\n{verdict['sentence']}")
    print(f"\nwinner: {found.winner.id}, fitted on every image: {kept}")
    print(f"report: {path}")
