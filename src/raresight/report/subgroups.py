"""What a report says of subgroups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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


def _facts(level: Mapping[str, Any]) -> str:
    groups = level["groups"]
    return (
        f"{level['images']:,} images, {level['anomalies']:,} anomalous; groups (patients): "
        f"{groups['anomalous']:,} with an anomaly, {groups['normal']:,} with a normal image"
    )
