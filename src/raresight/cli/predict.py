"""``raresight predict``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from raresight.deploy.prediction import Prediction
    from raresight.deploy.predictor import Predictor

COLUMNS = ("file", "score", "probability", "decision", "threshold", "milliseconds", "reason", "error")

Take = Callable[["Prediction"], None]

SOME_FAILED = 1
"""The status when an image could not be scored."""


def predict(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A folder that raresight train made.")],
    files: Annotated[
        list[str], typer.Argument(metavar="FILE…", help="Images, DICOM among them; folders; patterns.")
    ],
    threshold: Annotated[
        str, typer.Option(help="A rule that the bundle knows, such as youden, or a score.")
    ] = "default",
    csv: Annotated[Path | None, typer.Option(help="Write a table to this file.")] = None,
    jsonl: Annotated[Path | None, typer.Option(help="Write one JSON object a line to this file.")] = None,
    heatmaps: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write each image with its heatmap into this folder.")
    ] = None,
    max_megapixels: Annotated[float, typer.Option(help="Refuse larger images.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Score images; one that cannot be read is named and never stops the others (exit status 1)."""
    from raresight.deploy.inputs import find_files
    from raresight.deploy.predictor import Predictor

    predictor = Predictor(bundle, max_pixels=int(max_megapixels * 1e6))
    predictor.facts.threshold(threshold)
    found = find_files(files)
    failed = 0
    with ExitStack() as sinks:
        takers: list[Take] = [sinks.enter_context(printed_json() if as_json else printed())]
        if csv is not None:
            takers.append(sinks.enter_context(table_file(csv)))
        if jsonl is not None:
            takers.append(sinks.enter_context(lines_file(jsonl)))
        if heatmaps is not None:
            takers.append(pictures(heatmaps, predictor))
        for one in predictor.stream(found, threshold=threshold, heat=heatmaps is not None):
            failed += one.error is not None
            for take in takers:
                take(one)
    return SOME_FAILED if failed else 0


@contextmanager
def printed() -> Iterator[Take]:
    """Print a line an image; what is wrong with one goes to stderr."""
    from raresight.cli.console import complain

    def take(one: Prediction) -> None:
        if one.error is not None:
            complain(f"{one.file}: {one.error}")
            return
        chance = "" if one.probability is None else f"  probability {one.probability:.3f}"
        why = "" if one.reason is None else f"  ({one.reason})"
        print(f"{one.file}  {one.decision}  score {one.score:.4f}{chance}{why}")

    yield take


@contextmanager
def printed_json() -> Iterator[Take]:
    """Print ``{"predictions": […]}`` at the end."""
    from raresight.cli.console import print_json

    every: list[dict[str, Any]] = []
    yield lambda one: every.append(one.as_dict())
    print_json({"predictions": every})


@contextmanager
def table_file(path: Path) -> Iterator[Take]:
    """Write a CSV row an image."""
    from csv import DictWriter

    from raresight.images.cache import disk_errors

    with disk_errors(path, "choose another file with --csv"), opened(path, "--csv") as stream:
        writer = DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        yield lambda one: writer.writerow({**one.as_dict(), "file": plain(one.file)})


@contextmanager
def lines_file(path: Path) -> Iterator[Take]:
    """Write a line of JSON an image."""
    import json

    from raresight.images.cache import disk_errors

    with disk_errors(path, "choose another file with --jsonl"), opened(path, "--jsonl") as stream:

        def take(one: Prediction) -> None:
            stream.write(json.dumps(one.as_dict(), allow_nan=False) + "\n")

        yield take


def opened(path: Path, option: str) -> Any:
    """Open a file to write, before anything is scored.

    Raises
    ------
    OptionError
        If it cannot be written.
    """
    from raresight.errors import OptionError

    try:
        return path.open("w", newline="", encoding="utf-8")
    except OSError as error:
        raise OptionError(
            f"{path} cannot be written ({error.strerror}); choose another file with {option}"
        ) from error


def plain(name: str) -> str:
    """Keep a spreadsheet from taking a file's name for a formula."""
    return f"'{name}" if name.startswith(("=", "+", "-", "@", "\t", "\r")) else name


def pictures(folder: Path, predictor: Predictor) -> Take:
    """Write each image with its heatmap over it."""
    from raresight.deploy.heat import HeatFolder
    from raresight.errors import OptionError

    explain = predictor.facts.explain
    if explain is None:
        raise OptionError(f"the bundle {predictor.folder} has no heatmaps; leave out --heatmaps")
    return HeatFolder(folder, explain.low, explain.high).write
