"""What the protocol adds to a report: groups, the published split, the external set, the leaky twin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raresight.evidence.format import decimal
from raresight.evidence.leaky import points
from raresight.evidence.metrics import METRICS
from raresight.evidence.names import data_title
from raresight.images.grouping import grouping_sentences, grouping_warnings

EXTERNAL_SHOWN = ("accuracy", "sensitivity", "specificity", "auroc", "auprc", "brier")


def protocol_context(metrics: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Collect what the templates show of the four, None where the run has it not.

    Parameters
    ----------
    metrics : mapping
        ``metrics.json``.
    settings : mapping
        ``run.json``.

    Returns
    -------
    dict
        ``grouping``, ``published_split_sentence``, ``external``, ``leaky``.
    """
    split, choice = settings.get("published_split"), settings["protocol"]["groups"]
    return {
        "grouping": grouping_context(choice, settings["data"]),
        "published_split_sentence": split_sentence(split, grouped=choice != "off") if split else "",
        "external": _external(metrics),
        "leaky": _leaky(metrics),
    }


def grouping_context(choice: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Collect how groups were made and what they cannot rule out.

    Parameters
    ----------
    choice : str
        The option ``--groups``.
    data : mapping
        ``data`` of ``run.json``.

    Returns
    -------
    dict
        ``sentences``, ``warnings``, and ``contradictions``: files and labels of duplicates that disagree.
    """
    return {
        "sentences": grouping_sentences(choice, data),
        "warnings": grouping_warnings(choice, data),
        "contradictions": (data.get("duplicates") or {}).get("contradictions", []),
    }


def split_sentence(split: Mapping[str, int], grouped: bool = True) -> str:
    """Say what the published split is, and what of it would have leaked.

    Parameters
    ----------
    split : mapping
        ``published_split`` of ``run.json``: ``train, test, train_dropped, test_with_twin``.
    grouped : bool
        Whether patients and near duplicates were known; else nothing can be said of them.
    """
    start = f"The published split was kept: {split['train']:,} training and {split['test']:,} test images. "
    if not grouped:
        return start.rstrip()
    if not split["test_with_twin"]:
        return f"{start}No test image shares a group with a training image."
    return (
        f"{start}Of the test images, {split['test_with_twin']:,} share a group (patient or near duplicate) "
        f"with published training images; those {split['train_dropped']:,} were left out of training."
    )


def _external(metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    found = metrics.get("external")
    if not found:
        return None
    own = {row["recipe"]: row["metrics"] for row in metrics["recipes"]}
    rows = [
        {
            "recipe": row["recipe"],
            "models": row["models"],
            "cells": {name: row["metrics"][name] for name in EXTERNAL_SHOWN},
            "own": {name: own[row["recipe"]][name]["mean"] for name in EXTERNAL_SHOWN},
        }
        for row in found["recipes"]
    ]
    sentence = (
        f"Every fold's model also scored {found['images']:,} images of {data_title(found['name'])} "
        f"({found['anomalies']:,} anomalous), a set that none of them learned from."
    )
    if found["twins_removed"]:
        twins = f"{found['twins_removed']:,} further images of it have a twin in the training set"
        sentence += f" {twins} and were left out."
    return {"sentence": sentence, "rows": rows, "titles": {n: METRICS[n].title for n in EXTERNAL_SHOWN}}


def _leaky(metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    found = metrics.get("leaky")
    if not found or not found["recipes"]:
        return None
    rows = [
        {
            "recipe": row["recipe"],
            "cells": [
                {
                    "change": f"{decimal(cell['honest'])} → {decimal(cell['leaky'])}",
                    "points": points(cell["inflation"]),
                    "real": f"real rows {decimal(cell['real_rows'])}, {points(cell['inflation_real_rows'])}",
                }
                for cell in row["metrics"].values()
            ],
        }
        for row in found["recipes"]
    ]
    titles = [METRICS[name].title for name in found["recipes"][0]["metrics"]]
    return {"sentences": found["sentences"], "rows": rows, "titles": titles}
