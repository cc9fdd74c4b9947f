"""The report's section "How sure is one answer?": conformal answers, and risk against coverage."""

from __future__ import annotations

from typing import Any

import numpy as np

from raresight.errors import RaresightError
from raresight.evidence.conformal_table import RATES, ConformalTable, inner_calibration, measure_conformal
from raresight.evidence.format import decimal
from raresight.evidence.risk_coverage import answer_doubt, best_aurc, risk_coverage_curve
from raresight.report.figures import Material
from raresight.report.source import Reported

ANSWERED = 0.8
"""The coverage at which the table reads risk off."""


def doubt_context(run: Reported, material: Material) -> dict[str, Any]:
    """Collect what the section shows.

    Returns
    -------
    dict
        ``conformal``: a dict a recipe and class; ``answered``: a dict a recipe with probabilities;
        ``left_out``: pairs of recipe and reason; ``notes``: sentences.
    """
    tables: dict[str, ConformalTable] = {}
    left_out: list[tuple[str, str]] = []
    for recipe in material.recipes:
        try:
            tables[recipe["recipe"]] = _measured(run, recipe["recipe"])
        except RaresightError as error:
            left_out.append((recipe["recipe"], str(error)))
    rows = [
        {"recipe": name, "class": kind, "alpha": table.alpha, **cell}
        for name, table in tables.items()
        for kind, cell in table.classes.items()
    ]
    notes = dict.fromkeys(
        f"{material.titles[name]}: at an error rate of {decimal(table.alpha, 2)}, since {table.refused}."
        for name, table in tables.items()
        if table.refused
    )
    return {"conformal": rows, "answered": _answered(material), "left_out": left_out, "notes": list(notes)}


def without_doubt(reason: str) -> dict[str, Any]:
    """Say why a report has no such section."""
    return {"conformal": [], "answered": [], "left_out": [("every recipe", reason)], "notes": []}


def _measured(run: Reported, recipe: str) -> ConformalTable:
    own = run.predictions[run.predictions["recipe"] == recipe]
    folds = own[["repeat", "fold"]].drop_duplicates().itertuples(index=False)
    inner = {(int(repeat), int(fold)): run.inner(recipe, repeat, fold) for repeat, fold in folds}
    seed = int(run.settings["protocol"]["seed"])
    return measure_conformal(own, inner_calibration(own, inner), RATES, seed=seed)


def _answered(material: Material) -> list[dict[str, Any]]:
    found = []
    for recipe in material.recipes:
        known = answer_doubt(material.rows[recipe["recipe"]])
        if known is not None:
            error, uncertainty = known
            risk = risk_coverage_curve(error, uncertainty).y
            area = float(risk.mean())
            found.append(
                {
                    "recipe": recipe["recipe"],
                    "all": float(risk[-1]),
                    "part": float(risk[int(np.ceil(ANSWERED * len(risk))) - 1]),
                    "aurc": area,
                    "e_aurc": area - best_aurc(error),
                }
            )
    return found
