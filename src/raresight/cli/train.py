"""``raresight train``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raresight.cli.compare import Device, Resize

if TYPE_CHECKING:
    from raresight.deploy.bundle import Bundle


def train(
    out: Annotated[Path, typer.Option(metavar="BUNDLE", help="The bundle's folder, new or empty.")],
    data: Annotated[
        str | None,
        typer.Argument(metavar="DATA", help="Folder, manifest, .npz, or phantom:brain; with --run its own."),
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="Train a recipe of this run, and carry the run's evidence.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Which of the run's; by default the one its training rows favour.")
    ] = None,
    model: Annotated[str, typer.Option(help="The detector.")] = "svm",
    balance: Annotated[str, typer.Option(help="The sampler or cost.")] = "none",
    representation: Annotated[
        str | None, typer.Option(help="What a model other than a network sees.")
    ] = None,
    normal: Annotated[
        str | None, typer.Option(help="Normal classes, comma-separated; others are anomalies.")
    ] = None,
    anomaly: Annotated[str | None, typer.Option(help="Anomalous classes, comma-separated.")] = None,
    group: Annotated[str | None, typer.Option(help="The manifest's patient column.")] = None,
    groups: Annotated[str, typer.Option(help="Images that stay together: auto, a column, or off.")] = "auto",
    inner_folds: Annotated[int, typer.Option(help="Folds that thresholds and calibration learn from.")] = 3,
    tune: Annotated[int, typer.Option(help="Settings to try; 0: the defaults.")] = 0,
    calibration: Annotated[
        str | None, typer.Option(help="beta (by default), platt, isotonic, venn-abers or none.")
    ] = None,
    threshold: Annotated[
        str,
        typer.Option(
            "--threshold",
            "--thresholds",
            help="Rules learned beside the default one, comma-separated: youden, f1, sensitivity=0.95, "
            "specificity=0.95, cost=10.",
        ),
    ] = "youden,f1,specificity=0.95",
    prevalence: Annotated[
        float | None, typer.Option(help="Share of anomalies where the detector is to be deployed.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of splits, samplers and detectors.")] = 0,
    size: Annotated[int, typer.Option(help="Side in pixels that images are resized to.")] = 224,
    resize: Annotated[
        Resize, typer.Option(help="Keep the aspect ratio, or fill the square.")
    ] = Resize.letterbox,
    preprocess: Annotated[str | None, typer.Option(help="Modality: fundus, mri, ct or xray.")] = None,
    neutralise: Annotated[
        str | None, typer.Option(help="Made the same for every image: border,background,aspect,intensity.")
    ] = None,
    refer: Annotated[
        str | None,
        typer.Option(
            help="Refer what is unlike the training images (novelty), or of which not one class alone is "
            "plausible (conformal=0.05: the error rate); comma-separated."
        ),
    ] = None,
    max_megapixels: Annotated[float, typer.Option(help="Refuse larger images.")] = 100,
    include_examples: Annotated[
        bool, typer.Option("--include-examples", help="Put some training images into the bundle.")
    ] = False,
    device: Annotated[
        Device, typer.Option(help="Where networks compute; auto: a GPU if there is one.")
    ] = Device.auto,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Fit one recipe on every image and keep it as a bundle, which raresight predict runs anywhere."""
    from raresight.cli.console import bars, say
    from raresight.deploy import bundle
    from raresight.deploy.files import check_folder
    from raresight.errors import OptionError
    from raresight.experiment.run import Run
    from raresight.images.load import load

    def names(text: str | None) -> list[str]:
        return [part.strip() for part in (text or "").split(",") if part.strip()]

    if data is None and run is None:
        raise OptionError("name the images to train on, or a run with --run")
    if recipe is not None and run is None:
        raise OptionError("--recipe names a recipe of a run; write --model and --balance, or add --run")
    check_folder(out)
    told = Run(run) if run is not None else None
    labels = names(normal) or ([] if told is None or anomaly else told.settings["data"]["normal"])
    images = load(
        str(told.settings["data"]["name"]) if data is None and told is not None else str(data),
        normal=labels,
        anomaly=names(anomaly),
        group=group,
        max_pixels=int(max_megapixels * 1e6),
    )
    for note in images.notes:
        say(note)
    watched: dict[str, Any] = {"refer": names(refer), "device": device.value, "progress": bars, "say": say}
    if told is not None:
        made = bundle.make_bundle(told, images, recipe, **watched)
    else:
        made = bundle.train(
            images,
            model,
            balance,
            representation=representation,
            inner_folds=inner_folds,
            tune=tune,
            seed=seed,
            groups=groups,
            calibration=calibration,
            thresholds=names(threshold),
            prevalence=prevalence,
            size=size,
            resize=resize.value,
            preprocess=preprocess,
            neutralise=names(neutralise),
            command=shlex.join(["raresight", *sys.argv[1:]]),
            **watched,
        )
    finish(made, made.save(out, include_examples=include_examples), as_json)


def finish(made: Bundle, folder: Path, as_json: bool) -> None:
    """Print what was made and how well it is known to do, or one JSON document."""
    from raresight.cli.console import print_json
    from raresight.evidence.format import estimate_text

    name = made.refit.fitted.recipe.id
    row = None if made.judged is None else made.judged.row
    if as_json:
        known = {"metrics": None if row is None else row["metrics"], "thresholds": made.refit.thresholds}
        print_json({"bundle": str(folder), "recipe": name, **known})
        return
    print(f"{name}, trained on {len(made.refit.fitted.rows):,} images")
    if row is not None and made.judged is not None:
        print(f"AUROC {estimate_text(row['metrics']['auroc'])}. {made.judged.sentence}")
    print(f"bundle: {folder}")
