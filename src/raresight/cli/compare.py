"""``raresight compare``."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from raresight.experiment.run import Run


TABLE_WIDTH = 160
"""Columns that the table takes at most: it is never cut, whatever it is printed to."""


class Resize(StrEnum):
    """How an image becomes a square."""

    letterbox = "letterbox"
    stretch = "stretch"


class Device(StrEnum):
    """Where networks compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Task(StrEnum):
    """What is asked of an image."""

    binary = "binary"
    multiclass = "multiclass"


def compare(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Folder, manifest, .npz, or phantom:brain.")],
    models: Annotated[str, typer.Option(help="Detectors, comma-separated.")] = "svm,rf",
    balance: Annotated[str, typer.Option(help="Samplers, comma-separated.")] = "none,smote",
    representation: Annotated[
        str | None, typer.Option(help="What the models other than networks see.")
    ] = None,
    normal: Annotated[
        str | None, typer.Option(help="Normal classes, comma-separated; others are anomalies.")
    ] = None,
    anomaly: Annotated[str | None, typer.Option(help="Anomalous classes, comma-separated.")] = None,
    task: Annotated[Task, typer.Option(help="Binary, or multi-class grading.")] = Task.binary,
    folds: Annotated[int, typer.Option(help="Outer folds.")] = 5,
    repeats: Annotated[int, typer.Option(help="Repeats of the outer folds.")] = 1,
    inner_folds: Annotated[int, typer.Option(help="Folds inside the training rows.")] = 3,
    tune: Annotated[int, typer.Option(help="Settings to try for each recipe; 0: the defaults.")] = 0,
    imbalance: Annotated[
        float | None, typer.Option(help="Normal images for each anomalous one in training rows.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of splits, samplers and detectors.")] = 0,
    groups: Annotated[str, typer.Option(help="auto, off, or a column: images that stay together.")] = "auto",
    group: Annotated[str | None, typer.Option(help="The manifest's patient column.")] = None,
    size: Annotated[int, typer.Option(help="Side in pixels that images are resized to.")] = 224,
    resize: Annotated[
        Resize, typer.Option(help="Keep the aspect ratio, or fill the square.")
    ] = Resize.letterbox,
    preprocess: Annotated[str | None, typer.Option(help="Modality: fundus, mri, ct or xray.")] = None,
    neutralise: Annotated[
        str | None,
        typer.Option(help="Made the same for every image: border,background,aspect,intensity."),
    ] = None,
    max_megapixels: Annotated[float, typer.Option(help="Refuse larger images.")] = 100,
    device: Annotated[
        Device, typer.Option(help="Where networks compute; auto: a GPU if there is one.")
    ] = Device.auto,
    workers: Annotated[int | None, typer.Option(help="Worker processes; by default one a core.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; by default runs/<hash>.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Compare detectors with and without rebalancing; the same command again resumes."""
    from raresight.cli.console import bars, say
    from raresight.experiment.runner import compare as run_compare
    from raresight.images.load import load
    from raresight.spec import split_specs

    images = load(
        data,
        normal=_names(normal),
        anomaly=_names(anomaly),
        group=group,
        task=task.value,
        max_pixels=int(max_megapixels * 1e6),
    )
    for note in images.notes:
        say(note)
    run = run_compare(
        images,
        models=split_specs(models),
        balance=split_specs(balance),
        representation=None if representation is None else split_specs(representation),
        folds=folds,
        repeats=repeats,
        inner_folds=inner_folds,
        tune=tune,
        imbalance=imbalance,
        seed=seed,
        groups=groups,
        size=size,
        resize=resize.value,
        preprocess=preprocess,
        neutralise=_names(neutralise),
        device=device.value,
        workers=workers,
        out=out,
        command=shlex.join(["raresight", *sys.argv[1:]]),
        progress=bars,
    )
    finish(run, as_json)


def finish(run: Run, as_json: bool) -> None:
    """Write the report and print the table, or one JSON document."""
    from raresight.cli.console import print_json, say
    from raresight.report import write_report

    path = write_report(run)
    mixed = run.settings["data"]["mixed_groups"]
    if mixed:
        say(f"warning: {mixed} group(s) hold both normal and anomalous images; they stay together")
    if run.rejected:
        say(f"{len(run.rejected)} image(s) could not be used; see {run.path / 'rejected.csv'}")
    if as_json:
        print_json({"run": str(run.path), "report": str(path), **run.metrics})
        return
    print_table(run)
    print(f"report: {path}")


def print_table(run: Run) -> None:
    """Print the paper's table, with intervals."""
    from rich.console import Console
    from rich.table import Table

    columns = ("accuracy", "sensitivity", "specificity", "f1", "auroc")
    table = Table(box=None, header_style="bold")
    for name in ("recipe", *columns):
        table.add_column(name, no_wrap=True)
    for row in run.metrics["recipes"]:
        table.add_row(row["recipe"], *(_cell(row["metrics"][name]) for name in columns))
    console = Console(highlight=False, width=max(Console().width, TABLE_WIDTH))
    console.print(table)
    for sentence in run.metrics["sentences"]:
        console.print(f"\n{sentence}", soft_wrap=True, markup=False)


def _cell(metric: dict[str, Any]) -> str:
    if metric["mean"] is None:
        return "–"
    if metric["low"] is None:
        return f"{metric['mean']:.3f}"
    return f"{metric['mean']:.3f} ({metric['low']:.3f}–{metric['high']:.3f})"


def _names(text: str | None) -> list[str]:
    return [] if text is None else [part.strip() for part in text.split(",") if part.strip()]
