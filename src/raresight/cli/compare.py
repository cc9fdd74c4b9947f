"""``raresight compare``."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from raresight.experiment.estimate import Estimate
    from raresight.experiment.run import Run
    from raresight.experiment.sweep import Sweep
    from raresight.images.manifest import Manifest


TABLE_WIDTH = 160
"""Columns that the table takes at most: it is never cut, whatever it is printed to."""

SOME_FAILED = 1
"""The status when tasks failed and the rest of the grid was completed."""


class Resize(StrEnum):
    """How an image becomes a square."""

    letterbox = "letterbox"
    stretch = "stretch"


class Device(StrEnum):
    """Where networks compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Splitting(StrEnum):
    """Where test rows come from."""

    folds = "folds"
    published = "published"


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
    order: Annotated[
        str | None,
        typer.Option(help="Classes of a multi-class task from the lowest grade up, comma-separated."),
    ] = None,
    folds: Annotated[int, typer.Option(help="Outer folds.")] = 5,
    repeats: Annotated[int, typer.Option(help="Repeats of the outer folds.")] = 1,
    inner_folds: Annotated[int, typer.Option(help="Folds inside the training rows, or 0 for none.")] = 3,
    tune: Annotated[int, typer.Option(help="Settings to try for each recipe; 0: the defaults.")] = 0,
    imbalance: Annotated[
        str | None,
        typer.Option(help="Normal images for each anomalous one in training rows; several make a sweep."),
    ] = None,
    anomalies: Annotated[
        int | None, typer.Option(help="Labelled anomalies kept in training rows; 0: one-class models only.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of splits, samplers and detectors.")] = 0,
    groups: Annotated[
        str,
        typer.Option(
            help="Images that stay together, with their near duplicates: auto (patients), a column, or off."
        ),
    ] = "auto",
    group: Annotated[str | None, typer.Option(help="The manifest's patient column.")] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            help="From scores to probabilities: beta (by default), platt, isotonic, venn-abers or none; "
            "multi-class: temperature (by default) or none."
        ),
    ] = None,
    thresholds: Annotated[
        str,
        typer.Option(
            help="Rules learned beside the default one, comma-separated: youden, f1, sensitivity=0.95, "
            "specificity=0.95 (at least), cost=10 (a missed anomaly costs ten false alarms)."
        ),
    ] = "youden,f1,specificity=0.95",
    prevalence: Annotated[
        float | None, typer.Option(help="Share of anomalies where the detector is to be deployed.")
    ] = None,
    split: Annotated[
        Splitting, typer.Option(help="Cross-validation folds, or the manifest's own split.")
    ] = Splitting.folds,
    external: Annotated[
        str | None, typer.Option(metavar="DATA", help="Another set to test every fold's recipes on.")
    ] = None,
    external_normal: Annotated[
        str | None, typer.Option(help="Its normal classes, where they are called otherwise.")
    ] = None,
    leaky_twin: Annotated[
        bool, typer.Option("--leaky-twin", help="Repeat it balanced before the split, to see the inflation.")
    ] = False,
    by: Annotated[
        str | None,
        typer.Option(help="Columns whose subgroups are judged apart: sex,site,age:10 (bins of ten)."),
    ] = None,
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
    scheduler: Annotated[
        str | None, typer.Option(help="A Dask cluster to compute on, such as tcp://host:8786.")
    ] = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Time one task of each kind, and tell what the rest costs.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="The run's folder; by default runs/<hash>.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Compare detectors with and without rebalancing; the same command again resumes."""
    from raresight.cli.console import bars, say
    from raresight.errors import OptionError
    from raresight.experiment.runner import compare as run_compare
    from raresight.experiment.sweep import compare_imbalances
    from raresight.images.external import load_external
    from raresight.images.load import load
    from raresight.spec import split_specs

    images = load(
        data,
        normal=_names(normal),
        anomaly=_names(anomaly),
        group=group,
        task=task.value,
        order=_names(order),
        max_pixels=int(max_megapixels * 1e6),
    )
    other = None
    if external is not None and task is Task.multiclass:
        raise OptionError(
            "--external judges normal against anomalous and is not there for --task multiclass; "
            "leave either out"
        )
    if external is not None:
        other = load_external(
            external, images, normal=_names(external_normal), max_pixels=int(max_megapixels * 1e6)
        )
    for note in (*images.notes, *(() if other is None else other.notes)):
        say(note)
    ratios = _ratios(imbalance)
    settings: dict[str, Any] = {
        "models": split_specs(models),
        "balance": split_specs(balance),
        "representation": None if representation is None else split_specs(representation),
        "folds": folds,
        "repeats": repeats,
        "inner_folds": inner_folds,
        "tune": tune,
        "anomalies": anomalies,
        "seed": seed,
        "groups": groups,
        "calibration": calibration,
        "thresholds": _names(thresholds),
        "prevalence": prevalence,
        "split": split.value,
        "external": other,
        "leaky_twin": leaky_twin,
        "by": _names(by),
        "size": size,
        "resize": resize.value,
        "preprocess": preprocess,
        "neutralise": _names(neutralise),
        "device": device.value,
        "workers": workers,
        "scheduler": scheduler,
        "out": out,
        "command": shlex.join(["raresight", *sys.argv[1:]]),
        "progress": bars,
        "say": say,
    }
    if estimate:
        return tell_cost(images, ratios, scheduler, settings, as_json)
    if len(ratios) > 1:
        return finish_sweep(compare_imbalances(images, imbalance=ratios, **settings), as_json)
    return finish(run_compare(images, imbalance=ratios[0] if ratios else None, **settings), as_json)


def tell_cost(
    images: Manifest, ratios: list[float], scheduler: str | None, settings: dict[str, Any], as_json: bool
) -> int:
    """Time one task of each kind, and print what the grid costs."""
    from raresight.cli.console import print_json
    from raresight.errors import OptionError
    from raresight.experiment.estimate import estimate_compare

    if len(ratios) > 1 or scheduler is not None or settings["leaky_twin"]:
        raise OptionError(
            "--estimate reckons one grid on this machine; give one --imbalance, and neither --scheduler "
            "nor --leaky-twin"
        )
    options = {
        name: value for name, value in settings.items() if name not in ("scheduler", "say", "leaky_twin")
    }
    cost = estimate_compare(images, imbalance=ratios[0] if ratios else None, **options)
    if as_json:
        print_json(cost.as_dict())
    else:
        print_cost(cost)
    return 0


def print_cost(cost: Estimate) -> None:
    """Print a line a recipe, and what all of it costs."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for name in ("recipe", "tasks", "seconds each", "peak memory, GB"):
        table.add_column(name, no_wrap=True)
    for kind in cost.kinds:
        table.add_row(kind.recipe, str(kind.tasks), f"{kind.seconds:,.1f}", f"{kind.bytes / 1e9:.1f}")
    Console(highlight=False, width=max(Console().width, TABLE_WIDTH)).print(table)
    hours = "; ".join(f"{time_text(each)} on {count} worker(s)" for count, each in cost.hours.items())
    print(f"\nwhole grid: {hours}; {time_text(cost.left)} from now, {cost.done} task(s) are done")
    print(f"memory: {cost.memory / 1e9:.1f} GB at most; disk: {cost.disk / 1e9:.2f} GB")


def time_text(hours: float) -> str:
    """Give a time in hours, minutes or seconds, whichever can be read."""
    if hours >= 1:
        return f"{hours:.1f} hours"
    return f"{hours * 60:.1f} minutes" if hours >= 1 / 30 else f"{hours * 3600:.0f} seconds"


def finish(run: Run, as_json: bool) -> int:
    """Write the report and print the table, or one JSON document; 1 where tasks failed."""
    from raresight.cli.console import print_json, say
    from raresight.report import write_report

    path = write_report(run)
    mixed = run.settings["data"]["mixed_groups"]
    if mixed:
        kinds = "images of several classes" if run.graded else "both normal and anomalous images"
        say(f"warning: {mixed} group(s) hold {kinds}; they stay together")
    if run.rejected:
        say(f"{len(run.rejected)} image(s) could not be used; see {run.path / 'rejected.csv'}")
    if as_json:
        judged = {"verdicts": run.verdicts, "recommendation": run.recommendation}
        print_json({"run": str(run.path), "report": str(path), **run.metrics, **judged})
    else:
        print_table(run)
        print(f"report: {path}")
    return name_failures(run)


def name_failures(run: Run) -> int:
    """Print which tasks failed and why, on stderr; 1 where some did, else 0."""
    from rich.table import Table

    from raresight.cli.console import messages

    if not run.failed:
        return 0
    table = Table(box=None, header_style="bold", title=f"failed in {run.path}", title_justify="left")
    for name in ("recipe", "repeat", "fold", "reason"):
        table.add_column(name, overflow="fold")
    for row in run.failed:
        table.add_row(*(str(row[name]) for name in ("recipe", "repeat", "fold", "reason")))
    messages.print(table)
    return SOME_FAILED


def finish_sweep(sweep: Sweep, as_json: bool) -> int:
    """Write each run's report and the sweep's, and print every gain, or one JSON document; see `finish`."""
    from raresight.cli.console import print_json
    from raresight.report import write_report, write_sweep

    for run in sweep.runs.values():
        write_report(run)
    path = write_sweep(sweep)
    if as_json:
        print_json({"sweep": str(sweep.path), "report": str(path), **sweep.summary})
    else:
        print_gains(sweep)
        print(f"report: {path}")
    return max(name_failures(run) for run in sweep.runs.values())


def print_gains(sweep: Sweep) -> None:
    """Print what each balance gained over none, a column a ratio."""
    from rich.console import Console
    from rich.table import Table

    gains = {(g["recipe"], g["metric"], g["imbalance"]): g for g in sweep.summary["gains"]}
    ratios = [entry["imbalance"] for entry in sweep.summary["ratios"]]
    table = Table(box=None, header_style="bold")
    for name in ("gain over none", "metric", *(f"{ratio:g} : 1" for ratio in ratios)):
        table.add_column(name, no_wrap=True)
    for recipe, metric in dict.fromkeys((recipe, metric) for recipe, metric, _ in gains):
        table.add_row(recipe, metric, *(_gain(gains.get((recipe, metric, ratio))) for ratio in ratios))
    Console(highlight=False, width=max(Console().width, TABLE_WIDTH)).print(table)


def _gain(gain: dict[str, Any] | None) -> str:
    if gain is None or gain["difference"] is None:
        return "–"
    return f"{gain['difference']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f})"


def print_table(run: Run) -> None:
    """Print the paper's table, with intervals."""
    from rich.console import Console
    from rich.table import Table

    columns: tuple[str, ...] = ("accuracy", "sensitivity", "specificity", "f1", "auroc")
    if run.graded:
        columns = ("accuracy", "balanced_accuracy", "macro_f1", "quadratic_kappa", "macro_auroc")
    table = Table(box=None, header_style="bold")
    for name in ("recipe", *columns):
        table.add_column(name, no_wrap=True)
    for row in run.metrics["recipes"]:
        table.add_row(row["recipe"], *(_cell(row["metrics"][name]) for name in columns))
    console = Console(highlight=False, width=max(Console().width, TABLE_WIDTH))
    console.print(table)
    subgroups = run.metrics.get("subgroups", {})
    told = [*run.metrics["sentences"], *subgroups.get("sentences", []), *subgroups.get("warnings", [])]
    told += [*run.metrics.get("leaky", {}).get("sentences", [])]
    for sentence in told:
        console.print(f"\n{sentence}", soft_wrap=True, markup=False)


def _cell(metric: dict[str, Any]) -> str:
    if metric["mean"] is None:
        return "–"
    if metric["low"] is None:
        return f"{metric['mean']:.3f}"
    return f"{metric['mean']:.3f} ({metric['low']:.3f}–{metric['high']:.3f})"


def _ratios(text: str | None) -> list[float]:
    from raresight.errors import OptionError

    try:
        return [float(part) for part in _names(text)]
    except ValueError:
        raise OptionError(
            f"cannot read --imbalance {text}; write numbers, for example 20 or 1,5,20"
        ) from None


def _names(text: str | None) -> list[str]:
    return [] if text is None else [part.strip() for part in text.split(",") if part.strip()]
