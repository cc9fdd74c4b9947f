"""Figures that others have published, to stand beside a run's own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raresight.evidence.names import base_name

SOURCE = (
    "Rajaan, Kumar, Soni & Butwall (2024), Anomaly Detection in Medical Images Using SMOTE Algorithm: "
    "A Comprehensive Approach, Table 1"
)
PUBLISHED_METRICS = ("accuracy", "sensitivity", "specificity", "f1")


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """One row of a published table.

    Attributes
    ----------
    model, balance : str
        In raresight's names.
    title, dataset : str
        As printed.
    data : str
        Pattern that the name of the same public image set fits.
    values : dict of str to float
        Metric → value as a fraction.
    """

    model: str
    balance: str
    title: str
    dataset: str
    data: str
    values: dict[str, float]


def _row(model: str, balance: str, title: str, dataset: str, data: str, *percent: float) -> PublishedRow:
    values = {name: round(value / 100, 3) for name, value in zip(PUBLISHED_METRICS, percent, strict=True)}
    return PublishedRow(model, balance, title, dataset, data, values)


_BRAIN, _APTOS = r"brain.*tumou?r|tumou?r.*brain", r"aptos"
TABLE: tuple[PublishedRow, ...] = (
    _row("cnn", "none", "CNN (Original)", "Brain Tumor MRI", _BRAIN, 85.2, 80.5, 89.9, 82.3),
    _row("cnn", "smote", "CNN (SMOTE)", "Brain Tumor MRI", _BRAIN, 91.4, 89.7, 93.1, 90.5),
    _row("svm", "none", "SVM (Original)", "APTOS 2019", _APTOS, 78.6, 75.0, 82.2, 76.8),
    _row("svm", "smote", "SVM (SMOTE)", "APTOS 2019", _APTOS, 84.3, 81.5, 87.1, 82.9),
)
"""The paper's Table 1: all of it."""


def beside(metrics: Mapping[str, Any], data_name: str) -> list[dict[str, Any]]:
    """Put the published rows on the same image set beside a run's.

    Parameters
    ----------
    metrics : mapping
        What `summarise` gives.
    data_name : str
        How the run's image set is named; a path will do.

    Returns
    -------
    list of dict
        One a pair of published row and recipe with the same model and balance, with ``title``,
        ``dataset``, ``recipe`` and ``cells``: metric → ``{"published", "ours", "low", "high",
        "difference", "inside"}``, ``difference`` being ours less the published, ``inside`` whether the
        published value lies in our interval; None where ours is not defined. Empty for any other set.
    """
    same_set = [row for row in TABLE if re.search(row.data, data_name, re.IGNORECASE)]
    return [
        {
            "title": row.title,
            "dataset": row.dataset,
            "recipe": ours["recipe"],
            "cells": {name: _cell(value, ours["metrics"][name]) for name, value in row.values.items()},
        }
        for row in same_set
        for ours in metrics["recipes"]
        if base_name(ours["model"]) == row.model and base_name(ours["balance"]) == row.balance
    ]


def _cell(published: float, ours: Mapping[str, float | None]) -> dict[str, Any]:
    mean, low, high = ours["mean"], ours["low"], ours["high"]
    return {
        "published": published,
        "ours": mean,
        "low": low,
        "high": high,
        "difference": None if mean is None else mean - published,
        "inside": None if low is None or high is None else low <= published <= high,
    }
