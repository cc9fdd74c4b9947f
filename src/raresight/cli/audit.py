"""``raresight audit``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raresight.cli.compare import Resize

if TYPE_CHECKING:
    from raresight.audit.audit import Audit

SHOWN = 10
"""Labels and unreadable files that the summary lists; ``--json`` and the page have all."""


def audit(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Folder, manifest, .npz, or phantom:brain.")],
    probe: Annotated[
        str | None, typer.Option(help="Manifest columns that the files probe sees too, comma-separated.")
    ] = None,
    normal: Annotated[
        str | None, typer.Option(help="Normal classes; without them each class stands against the rest.")
    ] = None,
    anomaly: Annotated[str | None, typer.Option(help="Anomalous classes, comma-separated.")] = None,
    groups: Annotated[str, typer.Option(help="auto, off, or a column: images that stay together.")] = "auto",
    group: Annotated[str | None, typer.Option(help="The manifest's patient column.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of folds and models.")] = 0,
    resize: Annotated[
        Resize, typer.Option(help="Keep the aspect ratio, or fill the square.")
    ] = Resize.letterbox,
    preprocess: Annotated[str | None, typer.Option(help="Modality: fundus, mri, ct or xray.")] = None,
    max_megapixels: Annotated[float, typer.Option(help="Refuse larger images.")] = 100,
    out: Annotated[Path | None, typer.Option(help="The page to write, .html.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Find duplicates, wrong labels and shortcuts: what in a set could fool a model."""
    from raresight.audit.audit import audit_images
    from raresight.cli.console import bars, print_json, say
    from raresight.images.load import load
    from raresight.report.audit import check_page, write_audit

    if out is not None:
        check_page(out)
    images = load(
        data,
        normal=_names(normal),
        anomaly=_names(anomaly),
        group=group,
        max_pixels=int(max_megapixels * 1e6),
        need_normal=False,
    )
    for note in images.notes:
        say(note)
    found = audit_images(
        images,
        probe=_names(probe),
        groups=groups,
        seed=seed,
        resize=resize.value,
        preprocess=preprocess,
        progress=bars,
    )
    page = None if out is None else write_audit(found, out)
    if as_json:
        print_json(found.as_dict() | ({"page": str(page)} if page else {}))
        return
    print_summary(found)
    if page:
        print(f"page: {page}")


def print_summary(found: Audit) -> None:
    """Print what was found: sentences, then every probe beside the real model, then single files."""
    from rich.console import Console

    content = found.as_dict()
    console = Console(highlight=False)
    classes = ", ".join(f"{count:,} {label}" for label, count in content["classes"].items())
    console.print(f"{content['images']:,} images: {classes}\n", soft_wrap=True, markup=False)
    for sentence in found.sentences:
        console.print(f"• {sentence}", soft_wrap=True, markup=False)
    if content["shortcuts"]:
        _print_probes(content)
    _print_list("labels that are probably wrong", content["label_errors"], _label_line)
    _print_list("images that cannot be read", content["rejected"], lambda r: f"{r['file']}: {r['reason']}")


def _print_probes(content: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from raresight.evidence.format import estimate_text

    table = Table(box=None, header_style="bold")
    for name in ("sees only", "class", "AUROC", "accuracy"):
        table.add_column(name, no_wrap=True)
    for row in [*content["model"]["classes"], *content["shortcuts"]]:
        cells = (row["probe"], row["class"], estimate_text(row["auroc"]), estimate_text(row["accuracy"]))
        table.add_row(*map(escape, cells))
    print()
    # A console narrower than the table would cut names short.
    Console(highlight=False, width=max(Console().width, 120)).print(table)


def _label_line(error: dict[str, Any]) -> str:
    return f"{error['file']}: {error['label']}, rather {error['suggested']}"


def _print_list(title: str, rows: list[dict[str, Any]], line: Any) -> None:
    if rows:
        print(f"\n{title}:")
    for row in rows[:SHOWN]:
        print(f"  {line(row)}")
    if len(rows) > SHOWN:
        print(f"  … and {len(rows) - SHOWN:,} more (--json or --out lists them)")


def _names(text: str | None) -> list[str]:
    return [] if text is None else [part.strip() for part in text.split(",") if part.strip()]
