"""``raresight stress``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raresight.cli.compare import Device, Resize

if TYPE_CHECKING:
    from raresight.stress.folder import Stress


def stress(
    data: Annotated[
        str, typer.Argument(metavar="[BUNDLE] DATA", help="Folder, manifest, .npz, or phantom:brain.")
    ],
    other: Annotated[
        str | None, typer.Argument(metavar="", help="DATA, where a bundle is named before it.", hidden=True)
    ] = None,
    models: Annotated[str, typer.Option(help="Detectors, comma-separated.")] = "svm",
    balance: Annotated[str, typer.Option(help="Samplers, comma-separated.")] = "none,smote",
    representation: Annotated[
        str | None, typer.Option(help="What the models other than networks see.")
    ] = None,
    corruptions: Annotated[
        str | None,
        typer.Option(
            help="Corruptions, comma-separated, see raresight list corruptions; by default those that images "
            "of the modality (--preprocess) suffer."
        ),
    ] = None,
    severities: Annotated[str, typer.Option(help="Severities, 1 to 5, comma-separated.")] = "1,2,3,4,5",
    most: Annotated[int, typer.Option(help="Test images corrupted over all folds; 0: all.")] = 300,
    cost: Annotated[float, typer.Option(help="False alarms that a missed anomaly costs.")] = 10.0,
    normal: Annotated[
        str | None, typer.Option(help="Normal classes, comma-separated; others are anomalies.")
    ] = None,
    anomaly: Annotated[str | None, typer.Option(help="Anomalous classes, comma-separated.")] = None,
    external: Annotated[
        str | None, typer.Option(metavar="DATA", help="Another scanner's or site's set to test on too.")
    ] = None,
    external_normal: Annotated[
        str | None, typer.Option(help="Its normal classes, where they are called otherwise.")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(help="Columns whose subgroups are judged apart: sex,site,age:10 (bins of ten)."),
    ] = None,
    folds: Annotated[int, typer.Option(help="Outer folds.")] = 5,
    repeats: Annotated[int, typer.Option(help="Repeats of the outer folds.")] = 1,
    inner_folds: Annotated[int, typer.Option(help="Folds inside the training rows.")] = 3,
    imbalance: Annotated[
        float | None, typer.Option(help="Normal images for each anomalous one in training rows.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of splits, samplers, detectors and corruptions.")] = 0,
    groups: Annotated[str, typer.Option(help="Images that stay together: auto, a column, or off.")] = "auto",
    group: Annotated[str | None, typer.Option(help="The manifest's patient column.")] = None,
    size: Annotated[int, typer.Option(help="Side in pixels that images are resized to.")] = 224,
    resize: Annotated[
        Resize, typer.Option(help="Keep the aspect ratio, or fill the square.")
    ] = Resize.letterbox,
    preprocess: Annotated[str | None, typer.Option(help="Modality: fundus, mri, ct or xray.")] = None,
    device: Annotated[
        Device, typer.Option(help="Where networks compute; auto: a GPU if there is one.")
    ] = Device.auto,
    workers: Annotated[int | None, typer.Option(help="Worker processes; by default one a core.")] = None,
    out: Annotated[Path | None, typer.Option(help="The folder; by default runs/stress-<hash>.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Find out what breaks recipes: corrupted images, another site, another prevalence; resumable.

    With BUNDLE DATA the bundle is stressed on labelled images that it has not learned from; options about
    training are not looked at then.
    """
    from raresight.cli.console import bars, say
    from raresight.images.external import load_external
    from raresight.images.load import load
    from raresight.spec import split_specs
    from raresight.stress.runner import stress_recipes

    images = load(other or data, normal=_names(normal), anomaly=_names(anomaly), group=group)
    elsewhere = None if external is None else load_external(external, images, normal=_names(external_normal))
    for note in (*images.notes, *(() if elsewhere is None else elsewhere.notes)):
        say(note)
    shared: dict[str, Any] = {
        "corruptions": _names(corruptions) or None,
        "severities": _numbers(severities),
        "most": most,
        "cost": cost,
        "seed": seed,
        "groups": groups,
        "out": out,
        "command": shlex.join(["raresight", *sys.argv[1:]]),
        "progress": bars,
    }
    if other is not None:
        from raresight.deploy.stressed import stress_bundle

        finish(stress_bundle(data, images, **shared), as_json)
        return
    found = stress_recipes(
        images,
        split_specs(models),
        split_specs(balance),
        **shared,
        representation=None if representation is None else split_specs(representation),
        external=elsewhere,
        by=_names(by),
        folds=folds,
        repeats=repeats,
        inner_folds=inner_folds,
        imbalance=imbalance,
        size=size,
        resize=resize.value,
        preprocess=preprocess,
        device=device.value,
        workers=workers,
        say=say,
    )
    finish(found, as_json)


def finish(found: Stress, as_json: bool) -> None:
    """Write the page, and print the table, or one JSON document."""
    from raresight.cli.console import print_json
    from raresight.report import write_stress

    path = write_stress(found)
    if as_json:
        print_json({"stress": str(found.path), "report": str(path), **found.summary})
        return
    print_table(found.summary)
    print(f"report: {path}")


def print_table(summary: dict[str, Any]) -> None:
    """Print each recipe's mean AUROC under each corruption, and what is said of them."""
    from rich.console import Console
    from rich.table import Table

    from raresight.cli.compare import TABLE_WIDTH
    from raresight.evidence.format import decimal, estimate_text

    recipes = summary["recipes"]
    table = Table(box=None, header_style="bold")
    for name in ("AUROC", *(row["recipe"] for row in recipes)):
        table.add_column(name, no_wrap=True)
    table.add_row("clean", *(estimate_text(row["clean"]["auroc"]) for row in recipes))
    for place, part in enumerate(recipes[0]["by_corruption"]):
        cells = (row["by_corruption"][place]["stressed_auroc"] for row in recipes)
        table.add_row(part["corruption"], *(estimate_text(cell) for cell in cells))
    table.add_row("robustness", *(estimate_text(row["robustness"]) for row in recipes))
    console = Console(highlight=False, width=max(Console().width, TABLE_WIDTH))
    console.print(table)
    told = [*summary["sentences"], *(verdict["sentence"] for verdict in summary["verdicts"])]
    for row in summary.get("external", {}).get("recipes", []):
        own, there = (decimal(row[side]["auroc"]["mean"]) for side in ("own", "metrics"))
        told.append(f"{row['recipe']}: AUROC {own} on its own set, {there} on the external one.")
    told += [
        *summary.get("subgroups", {}).get("sentences", []),
        *summary.get("subgroups", {}).get("warnings", []),
    ]
    for sentence in told:
        console.print(f"\n{sentence}", soft_wrap=True, markup=False)


def _names(text: str | None) -> list[str]:
    return [] if text is None else [part.strip() for part in text.split(",") if part.strip()]


def _numbers(text: str) -> list[int]:
    from raresight.errors import OptionError

    try:
        return [int(part) for part in _names(text)]
    except ValueError:
        raise OptionError(f"cannot read --severities {text}; write 1 to 5, for example 1,3,5") from None
