"""``raresight feedback``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def feedback(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="feedback.sqlite in the folder of a service's --state.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Evaluate a served detector by the labels that were sent for its answers."""
    from raresight.cli.console import print_json, say
    from raresight.errors import MissingExtraError

    try:
        from raresight.deploy.feedback_evaluation import evaluate_feedback, read_feedback
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("raresight"):
            raise
        raise MissingExtraError(f"figures need {error.name}: pip install 'raresight[evidence]'") from error

    found = evaluate_feedback(read_feedback(file))
    if as_json:
        print_json(found)
        return
    for one in found["bundles"]:
        print_bundle(one)
    if found["unsure"]:
        say(f"{found['unsure']} images labelled unsure are left out.")
    for note in found["notes"]:
        say(note)


def print_bundle(one: dict[str, Any]) -> None:
    """Print a bundle's figures."""
    from raresight.evidence.format import estimate_text
    from raresight.evidence.metrics import METRICS

    referred = f", {one['referred']} more were referred" if one["referred"] else ""
    print(f"bundle {one['bundle'][:12]}: {one['n']} images, {one['positives']} of them anomalous{referred}")
    for name, cell in one["metrics"].items():
        shown = "–" if cell["mean"] is None else estimate_text(cell)
        print(f"  {METRICS[name].title:<18} {shown}")
