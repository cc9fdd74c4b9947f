"""``raresight synthesise``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raresight.cli.compare import Resize

if TYPE_CHECKING:
    from raresight.experiment.synthesis import Synthesis


class Space(StrEnum):
    """Where distances are measured."""

    embedding = "embedding"
    pixels = "pixels"


def synthesise(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Folder, manifest, .npz, or phantom:brain.")],
    balance: Annotated[
        str, typer.Option(help="Samplers, comma-separated: smote, smote[neighbours=embedding], deepsmote…")
    ] = "smote",
    out: Annotated[Path, typer.Option(help="The picture to write, .png or .jpg.")] = Path("sheet.png"),
    normal: Annotated[
        str | None, typer.Option(help="Normal classes, comma-separated; others are anomalies.")
    ] = None,
    anomaly: Annotated[str | None, typer.Option(help="Anomalous classes, comma-separated.")] = None,
    count: Annotated[int, typer.Option(help="Synthetic images to show for each sampler.")] = 6,
    imbalance: Annotated[
        float | None, typer.Option(help="Drop anomalies until so many normal images stand against each.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Use so many images only, classes in proportion.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of samplers, training and choice.")] = 0,
    group: Annotated[str | None, typer.Option(help="The manifest's patient column.")] = None,
    resize: Annotated[
        Resize, typer.Option(help="Keep the aspect ratio, or fill the square.")
    ] = Resize.letterbox,
    preprocess: Annotated[str | None, typer.Option(help="Modality: fundus, mri, ct or xray.")] = None,
    neutralise: Annotated[
        str | None,
        typer.Option(help="Made the same for every image: border,background,aspect,intensity."),
    ] = None,
    quality_in: Annotated[
        Space, typer.Option(help="Where the figures of quality measure distances.")
    ] = Space.embedding,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Draw synthetic images between their parents, with figures of their quality."""
    from raresight.cli.console import bars, print_json, say
    from raresight.errors import OptionError
    from raresight.experiment.synthesis import synthesise_images
    from raresight.images.load import load
    from raresight.images.preprocess import Preprocess
    from raresight.report.sheet import check_target, write_sheet
    from raresight.spec import split_specs

    check_target(out)
    if count < 1:
        raise OptionError(f"--count {count} is too small; choose at least 1")
    images = load(data, normal=_names(normal), anomaly=_names(anomaly), group=group)
    for note in images.notes:
        say(note)
    found = synthesise_images(
        images,
        split_specs(balance),
        imbalance=imbalance,
        limit=limit,
        seed=seed,
        quality_in=quality_in.value,
        preprocess=Preprocess(resize=resize.value, preset=preprocess, neutralise=tuple(_names(neutralise))),
        progress=bars,
    )
    labels = found[0].labels
    classes = {str(label): int((labels == label).sum()) for label in images.classes}
    counted = ", ".join(f"{count} {label}" for label, count in classes.items())
    path = write_sheet(found, out, heading=f"{Path(images.name).name}: {counted}", count=count, seed=seed)
    if as_json:
        print_json(
            {
                "sheet": str(path),
                "images": len(labels),
                "classes": classes,
                "quality_in": quality_in.value,
                "samplers": [synthesis.as_dict() for synthesis in found],
            }
        )
        return
    _print_table(found, quality_in.value)
    print(f"sheet: {path}")


def _print_table(found: list[Synthesis], space: str) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="bold", title=f"distances in {space}", title_justify="left")
    for name in ("balance", "synthetic", "copies", "distance", "other class", "density", "coverage"):
        table.add_column(name, no_wrap=True)
    for synthesis in found:
        quality = synthesis.quality
        table.add_row(
            escape(str(synthesis.balance)),
            str(len(synthesis.plan)),
            f"{quality.copies:.1%}",
            f"{quality.distance:.2f}",
            f"{quality.other_class:.1%}",
            f"{quality.density:.2f}",
            f"{quality.coverage:.2f}",
        )
    # A console narrower than the table would cut names short.
    Console(highlight=False, width=max(Console().width, 160)).print(table)


def _names(text: str | None) -> list[str]:
    return [] if text is None else [part.strip() for part in text.split(",") if part.strip()]
