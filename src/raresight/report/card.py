"""The model card of a run (Mitchell et al. 2019, Model Cards for Model Reporting)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raresight.evidence.format import estimate_text
from raresight.evidence.metrics import METRICS
from raresight.evidence.names import data_title
from raresight.images.grouping import grouping_sentences, grouping_warnings
from raresight.report.methods import ratio_text

SHOWN = ("auroc", "auprc", "sensitivity", "specificity", "brier", "calibration_slope")
UNKNOWN = (
    "Not known from this run: scanners and centres behind the images, age, sex and origin of the people, how "
    "labels were made, and performance in any subgroup of people. A human must add them."
)


def model_card(
    metrics: Mapping[str, Any], settings: Mapping[str, Any], best: str, called: Mapping[str, str]
) -> dict[str, list[str]]:
    """Write the model card of the recipe that ranks best.

    Parameters
    ----------
    metrics : mapping
        ``metrics.json``.
    settings : mapping
        ``run.json``.
    best : str
        Its id.
    called : mapping
        Recipe id → title.

    Returns
    -------
    dict of str to list of str
        Heading → sentences.
    """
    row = next(row for row in metrics["recipes"] if row["recipe"] == best)
    others = len(metrics["recipes"]) - 1
    beside = f"It ranks best of {others + 1} recipes of one comparison. " if others else ""
    made = " ".join(filter(None, ("raresight", settings.get("versions", {}).get("raresight"))))
    return {
        "Model": [
            f"{called[best]} ({best}), made with {made}.",
            f"{beside}The run scored each fold with a model of its own; none of them is one to deploy.",
        ],
        "Intended use": [
            "Research: to compare ways of training on this set.",
            "Not a medical device; not for decisions about patients.",
        ],
        "Data": _data(row, settings),
        "Performance": _performance(row),
        "Limits": _limits(metrics, row, settings, others),
    }


def _data(row: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    data, imbalance = settings["data"], settings["protocol"]["imbalance"]
    found = [
        f"{data_title(data['name'])}: {row['n']:,} images, {row['positives']:,} anomalous "
        f"({_share(row)}); trained and tested on the same set, in different folds."
    ]
    if imbalance is not None:
        found.append(f"Training rows were thinned to {ratio_text(imbalance)}; test rows were not.")
    if settings["protocol"].get("anomalies") is not None:
        found.append(f"At most {settings['protocol']['anomalies']} anomalous images were trained on.")
    found += grouping_sentences(settings["protocol"]["groups"], data)
    return [*found, UNKNOWN]


def _share(row: Mapping[str, Any]) -> str:
    return f"{row['positives'] / max(1, row['n']):.0%}"


def _performance(row: Mapping[str, Any]) -> list[str]:
    known = [name for name in SHOWN if row["metrics"][name]["mean"] is not None]
    figures = ", ".join(f"{METRICS[name].title} {estimate_text(row['metrics'][name])}" for name in known)
    return [f"Out of fold, with 95 % intervals over groups: {figures}; decisions at the default threshold."]


def _limits(
    metrics: Mapping[str, Any], row: Mapping[str, Any], settings: Mapping[str, Any], others: int
) -> list[str]:
    found = [
        "Tested on images of the same source only; other scanners, centres and patients may do worse."
        if not settings.get("external")
        else "Figures of this card are of the set it was developed on.",
        f"Predictive values hold at this set's share of anomalies, {_share(row)}, and at no other.",
    ]
    if others:
        found.append("The best of several recipes looks better than it is.")
    if metrics["intervals"]["groups"]["anomalous"] < 30:
        few = metrics["intervals"]["groups"]["anomalous"]
        found.append(f"Only {few} groups hold an anomaly: intervals are wide, and their ends uncertain.")
    data = settings["data"]
    found += grouping_warnings(settings["protocol"]["groups"], data)
    if (data.get("duplicates") or {}).get("contradictory"):
        found.append("Some duplicates have contradictory labels; no model can be right about all of them.")
    return found
