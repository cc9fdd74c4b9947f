"""Explanations that a run's folder keeps, shown in its report."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

EXPLAINED = "explained"
"""The folder in a run's, with a folder a recipe: ``sheet.jpg`` and ``explained.json``."""


def explained_folder(run: Path, recipe: str) -> Path:
    """Name the folder in which a run keeps the explanations of a recipe.

    Parameters
    ----------
    run : Path
    recipe : str
        Its id.
    """
    return run / EXPLAINED / re.sub(r"[^A-Za-z0-9@+._-]", "_", recipe)


def explained_context(run: Path) -> list[dict[str, Any]]:
    """Collect what `raresight explain --run` left in a run's folder, by recipe.

    Parameters
    ----------
    run : Path

    Returns
    -------
    list of dict
        ``recipe``, ``sentences``, ``sheet`` (a data URI) and ``file`` (relative to the run's folder).
    """
    found = []
    for path in sorted((run / EXPLAINED).glob("*/explained.json")):
        sheet = path.parent / "sheet.jpg"
        if not sheet.is_file():
            continue
        told = json.loads(path.read_text())
        picture = base64.b64encode(sheet.read_bytes()).decode()
        found.append(
            {
                "recipe": told["recipe"]["id"],
                "sentences": [*told["sentences"], *told["notes"]],
                "sheet": f"data:image/jpeg;base64,{picture}",
                "file": sheet.relative_to(run).as_posix(),
            }
        )
    return found
