"""What a report says, gathered as plain data for its templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from raresight.evidence.estimates import weigh
from raresight.evidence.metrics import METRICS, names_of
from raresight.evidence.names import data_title, titles
from raresight.evidence.published import SOURCE, beside
from raresight.evidence.thresholds import rule_title
from raresight.report.card import model_card
from raresight.report.checklists import CHECKLISTS, fill, run_facts
from raresight.report.doubt import doubt_context
from raresight.report.figures import SHOWN, Material
from raresight.report.kept_explanations import explained_context
from raresight.report.methods import methods, ratio_text
from raresight.report.page import count
from raresight.report.protocol import protocol_context
from raresight.report.source import Reported
from raresight.report.subgroups import subgroups_context

FURTHER = tuple(name for name in METRICS if name not in SHOWN)


def gather(run: Reported) -> tuple[dict[str, Any], Material]:
    """Collect what every form of the report shows.

    Returns
    -------
    context : dict
        For the templates; text is not escaped.
    material : Material
        For the pictures.
    """
    metrics, settings = run.metrics, run.settings
    recipes, data = metrics["recipes"], settings["data"]
    called = titles(recipes)
    published = beside(metrics, data["name"])
    rows = weigh(run.predictions, run.thresholds, resamples=1).rows
    first, best = recipes[0], best_recipe(recipes)
    known = run_facts(metrics, settings, run.receipts, run.rejected, best)
    material = Material(recipes, rows, called, published, first["positives"] / max(1, first["n"]))
    context = {
        "name": data_title(data["name"]),
        "recipes": recipes,
        "called": called,
        "metrics": METRICS,
        "shown": SHOWN,
        "further": FURTHER,
        "decisions": names_of("decision"),
        "facts": _facts(settings, recipes),
        "lead": metrics["sentences"][0] if metrics["sentences"] else "",
        "sentences": metrics["sentences"][1:],
        "effects": metrics["effects"],
        "verdicts": by_pair(run.verdicts),
        "judged": {row["metric"]: row["margin"] for row in run.verdicts},
        "recommendation": run.recommendation,
        "rules": _rules(recipes),
        "rule_titles": {rule: rule_title(rule) for rule in _rules(recipes)},
        "probabilities": names_of("probability"),
        "has_probabilities": any(r["metrics"]["brier"]["mean"] is not None for r in recipes),
        "stated": settings["protocol"].get("prevalence"),
        "worth": _worth(recipes),
        **protocol_context(metrics, settings),
        "subgroups": subgroups_context(metrics.get("subgroups"), called),
        "doubt": doubt_context(run, material),
        "explained": explained_context(run.path),
        "published": published,
        "published_source": SOURCE,
        "published_sentence": _published_sentence(published),
        "receipts": run.receipts,
        "folds": folds_of(run.receipts),
        "receipt_sentence": receipt_sentence(run.receipts),
        "rejected": run.rejected,
        "methods": methods(metrics, settings),
        "card": model_card(metrics, settings, best, called),
        "checklists": [fill(name, known) for name in CHECKLISTS],
        "command": settings.get("command"),
        "settings": settings_lines(settings),
        "versions": settings.get("versions", {}),
    }
    return context, material


def by_pair(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Gather the verdicts of each recipe against each baseline; the headline's sentence speaks for them."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        pair = found.setdefault((row["recipe"], row["against"]), {"cells": {}, "sentence": row["sentence"]})
        pair |= {"recipe": row["recipe"], "against": row["against"]}
        pair["cells"][row["metric"]] = row
    return list(found.values())


def best_recipe(recipes: Sequence[Mapping[str, Any]]) -> str:
    """Name the recipe with the highest AUROC; the first where none has one."""
    known = [r for r in recipes if r["metrics"]["auroc"]["mean"] is not None] or recipes
    return str(max(known, key=lambda r: r["metrics"]["auroc"]["mean"] or 0)["recipe"])


def _facts(settings: Mapping[str, Any], recipes: Sequence[Mapping[str, Any]]) -> list[str]:
    data, protocol = settings["data"], settings["protocol"]
    classes = ", ".join(f"{label} {number:,}" for label, number in data["classes"].items())
    published = settings.get("published_split") is not None
    folds = "published split" if published else count(protocol["folds"], "fold")
    if protocol["repeats"] > 1:
        folds = f"{protocol['repeats']} × {folds}"
    facts = [
        f"{count(data['images'], 'image')} ({classes})",
        f"normal: {', '.join(data['normal'])}",
        count(len(recipes), "recipe"),
        folds,
    ]
    if protocol.get("anomalies") is not None:
        facts.append(f"at most {protocol['anomalies']} anomalous training images")
    if protocol.get("imbalance") is not None:
        facts.append(f"training rows thinned to {ratio_text(protocol['imbalance'])}")
    neutralised = settings.get("store", {}).get("neutralise")
    if neutralised:
        facts.append(f"neutralised in every image: {', '.join(neutralised)}")
    return facts


def _rules(recipes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name the threshold rules that occur, the default first."""
    return list(dict.fromkeys(rule for recipe in recipes for rule in ("default", *recipe["at"])))


def _worth(recipes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Read the decision curves off at half, once, twice and four times the stated prevalence."""
    curves = [(r.get("at_prevalence") or {}).get("decision_curve") for r in recipes]
    first = next((curve for curve in curves if curve), None)
    if first is None:
        return []
    shown = [i for i in (4, 9, 19, 39) if i < len(first["threshold"])]
    nothing = {"mean": None, "low": None, "high": None}
    return [
        {
            "threshold": first["threshold"][i],
            "all": first["all"][i],
            "cells": [{k: c[k][i] for k in nothing} if c else nothing for c in curves],
        }
        for i in shown
    ]


def _published_sentence(published: Sequence[Mapping[str, Any]]) -> str:
    if not published:
        return ""
    cells = [cell for row in published for cell in row["cells"].values() if cell["inside"] is not None]
    inside = sum(cell["inside"] for cell in cells)
    above = sum(cell["low"] > cell["published"] for cell in cells)
    below = len(cells) - inside - above
    values = count(len(cells), "published value")
    return (
        f"Of {values} for the same models on this set, {above} lie below our 95 % interval (ours is higher), "
        f"{inside} inside it and {below} above it. The paper tells neither its copy of the set nor its "
        f"split, and gives no intervals: the figures are neighbours, not a replication."
    )


def folds_of(receipts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Add the receipts up over recipes, for each repeat and fold."""
    found: dict[tuple[int, int], list[Mapping[str, Any]]] = {}
    for receipt in receipts:
        found.setdefault((receipt["repeat"], receipt["fold"]), []).append(receipt)
    return [
        {
            "repeat": repeat,
            "fold": fold,
            "tasks": len(own),
            "train_rows": own[0]["train_rows"],
            "test_rows": own[0]["test_rows"],
            "shared_groups": sum(r["shared_groups"] for r in own),
            "synthetic": sum(r["synthetic"] for r in own),
            "parents_outside": sum(r["parents_outside"] for r in own),
        }
        for (repeat, fold), own in sorted(found.items())
    ]


def receipt_sentence(receipts: Sequence[Mapping[str, Any]]) -> str:
    """Say what the receipts count: nothing leaked."""
    shared = sum(r["shared_groups"] for r in receipts)
    outside = sum(r["parents_outside"] for r in receipts)
    synthetic = sum(r["synthetic"] for r in receipts)
    learned = sum(r.get("learned_outside", 0) for r in receipts)
    return (
        f"{count(shared, 'group')} shared by training and test rows in {count(len(receipts), 'task')}; "
        f"{count(outside, 'parent')} of {count(synthetic, 'synthetic image')} outside the training fold; "
        f"{learned:,} rows outside it behind any threshold or calibration."
    )


def settings_lines(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List the settings; the cache's folder stays out, as it may name a person."""
    found = [("manifest", str(settings["data"].get("manifest_hash", "")))]
    for part in ("protocol", "store"):
        for key, value in settings.get(part, {}).items():
            if key != "folder":
                found.append((f"{part}: {key.replace('_', ' ')}", "–" if value is None else str(value)))
    return [(key, value) for key, value in found if value]
