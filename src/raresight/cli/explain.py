"""``raresight explain``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raresight.cli.compare import Device, Resize, Splitting


def explain(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Folder, manifest, .npz, or phantom:brain.")],
    model: Annotated[str, typer.Option(help="The detector to explain.")] = "svm",
    method: Annotated[
        str, typer.Option(help="How: auto, integrated-maps, occlusion…; see raresight list explanations.")
    ] = "auto",
    out: Annotated[Path | None, typer.Option(help="The folder to write; by default explained.")] = None,
    run: Annotated[
        Path | None,
        typer.Option(help="A run on the same set: kept in its folder, and shown in its report."),
    ] = None,
    n: Annotated[int, typer.Option(help="Test images to show, half of them anomalous.")] = 12,
    balance: Annotated[str, typer.Option(help="The sampler.")] = "none",
    representation: Annotated[
        str | None, typer.Option(help="What the model sees; by default its own choice.")
    ] = None,
    normal: Annotated[
        str | None, typer.Option(help="Normal classes, comma-separated; others are anomalies.")
    ] = None,
    anomaly: Annotated[str | None, typer.Option(help="Anomalous classes, comma-separated.")] = None,
    folds: Annotated[int, typer.Option(help="Folds; the first is explained, the others train.")] = 5,
    split: Annotated[
        Splitting, typer.Option(help="Cross-validation folds, or the manifest's own split.")
    ] = Splitting.folds,
    seed: Annotated[int, typer.Option(help="Seed of split, training and choice.")] = 0,
    groups: Annotated[
        str, typer.Option(help="Images that stay together: auto (patients), a column, or off.")
    ] = "auto",
    group: Annotated[str | None, typer.Option(help="The manifest's patient column.")] = None,
    resize: Annotated[
        Resize, typer.Option(help="Keep the aspect ratio, or fill the square.")
    ] = Resize.letterbox,
    preprocess: Annotated[str | None, typer.Option(help="Modality: fundus, mri, ct or xray.")] = None,
    neutralise: Annotated[
        str | None,
        typer.Option(help="Made the same for every image: border,background,aspect,intensity."),
    ] = None,
    device: Annotated[
        Device, typer.Option(help="Where networks train; auto: a GPU if there is one.")
    ] = Device.auto,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show where a detector looks, what an image resembles, and how well the maps find lesions."""
    from raresight.cli.console import bars, print_json, say
    from raresight.experiment.run import Run
    from raresight.explain.study import explain_set
    from raresight.images.load import load
    from raresight.report import write_report
    from raresight.report.explained import write_study
    from raresight.report.kept_explanations import explained_folder

    images = load(data, normal=_names(normal), anomaly=_names(anomaly), group=group)
    for note in images.notes:
        say(note)
    if run is not None:
        _check_run(run, out, images.name)
    study = explain_set(
        images,
        model,
        method=method,
        balance=balance,
        representation=representation,
        n=n,
        seed=seed,
        folds=folds,
        split=split.value,
        groups=groups,
        resize=resize.value,
        preprocess=preprocess,
        neutralise=_names(neutralise),
        device=device.value,
        progress=bars,
    )
    for note in study.notes:
        say(note)
    if run is not None:
        folder = write_study(study, explained_folder(run, study.fitted.recipe.id))
        say(f"report: {write_report(Run(run))}")
    else:
        folder = write_study(study, out or Path("explained"))
    if as_json:
        print_json({"folder": str(folder), **study.as_dict()})
        return
    for sentence in study.sentences():
        print(sentence)
    print(f"sheet: {folder / 'sheet.jpg'}")


def _check_run(run: Path, out: Path | None, name: str) -> None:
    """Refuse a run on another set, before anything is trained.

    Raises
    ------
    OptionError
    """
    from raresight.errors import OptionError
    from raresight.experiment.run import Run

    if out is not None:
        raise OptionError("--run keeps the sheet in the run's folder; leave out --out, or --run")
    theirs = Run(run).settings["data"]["name"]
    if theirs != name:
        raise OptionError(f"{run} is a run on {theirs}, and {name} is to be explained; leave out --run")


def _names(text: str | None) -> list[str]:
    return [] if text is None else [part.strip() for part in text.split(",") if part.strip()]
