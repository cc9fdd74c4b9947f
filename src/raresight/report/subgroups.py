"""What a report says of subgroups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from raresight.errors import OptionError
from raresight.evidence.metrics import METRICS

TABLE = ("auroc", "sensitivity", "specificity", "brier")


def subgroups_context(found: Mapping[str, Any] | None, called: Mapping[str, str]) -> dict[str, Any] | None:
    """Collect what the templates show of subgroups.

    Parameters
    ----------
    found : mapping or None
        ``subgroups`` of ``metrics.json``; see `raresight.evidence.subgroups.summarise_subgroups`.
    called : mapping
        Recipe → title.

    Returns
    -------
    dict or None
        ``sentences``, ``warnings``, ``fewest``, ``titles`` of the metrics shown, and ``tables``: each
        ``column`` and ``rows``, one a subgroup and recipe: ``level``, ``facts``, ``small``, ``recipe`` and
        ``cells``, whose ``mark`` says where the subgroup is the lowest, and whether clearly.
    """
    if not found:
        return None
    marked = {(w["recipe"], w["column"], w["metric"], w["level"]): w["decision"] for w in found["worst"]}
    tables = []
    for column in found["columns"]:
        name = column["column"]
        rows = [
            {
                "level": level["level"],
                "facts": _facts(level),
                "small": bool(level["warning"]),
                "recipe": called.get(own["recipe"], own["recipe"]),
                "cells": [
                    {
                        **own["metrics"][m],
                        "mark": marked.get((own["recipe"], column["column"], m, level["level"])),
                    }
                    for m in TABLE
                ],
            }
            for level in column["levels"]
            for own in level["recipes"]
        ]
        tables.append({"column": name, "rows": rows})
    return {
        "sentences": found["sentences"],
        "warnings": found["warnings"],
        "fewest": found["fewest_groups"],
        "titles": [METRICS[name].title for name in TABLE],
        "tables": tables,
    }


def only_columns(context: dict[str, Any] | None, by: Sequence[str]) -> dict[str, Any]:
    """Keep the tables and warnings of some columns; what is said of the worst still counts them all.

    Parameters
    ----------
    context : dict or None
        As `subgroups_context` made it.
    by : sequence of str
        Columns.

    Raises
    ------
    OptionError
        If a column's subgroups were not kept.
    """
    kept = [] if context is None else [table["column"] for table in context["tables"]]
    for column in by:
        if column not in kept:
            raise OptionError(
                f"the run keeps no subgroups by {column}; run the same compare command with --by {column}, "
                "nothing is trained again"
            )
    assert context is not None
    return {
        **context,
        "tables": [table for table in context["tables"] if table["column"] in by],
        "warnings": [w for w in context["warnings"] if w.partition(" = ")[0] in by],
    }


def _facts(level: Mapping[str, Any]) -> str:
    groups = level["groups"]
    return (
        f"{level['images']:,} images, {level['anomalies']:,} anomalous; groups (patients): "
        f"{groups['anomalous']:,} with an anomaly, {groups['normal']:,} with a normal image"
    )
