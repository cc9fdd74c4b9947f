"""What a run can say to a checklist: each fact from its settings, metrics and receipts alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from raresight.evidence.format import estimate_text
from raresight.evidence.metrics import METRICS
from raresight.evidence.names import balance_title, data_title, model_title
from raresight.images.grouping import grouping_sentences, grouping_warnings
from raresight.report.methods import ratio_text

_CALIBRATED = " Probabilities were calibrated on inner rows of the training folds, never on test rows."
ACCURACY = ("sensitivity", "specificity", "accuracy", "f1")
CALIBRATION = ("brier", "ece", "calibration_slope")


def run_facts(
    metrics: Mapping[str, Any],
    settings: Mapping[str, Any],
    receipts: Sequence[Mapping[str, Any]],
    rejected: Sequence[Mapping[str, str]],
    best: str,
) -> dict[str, str]:
    """Say what a run knows of itself.

    Parameters
    ----------
    metrics : mapping
        ``metrics.json``.
    settings : mapping
        ``run.json``.
    receipts : sequence of mappings
        One a task.
    rejected : sequence of mappings
        Images that could not be used.
    best : str
        Id of the recipe whose figures are named.

    Returns
    -------
    dict of str to str
        Fact → one or two sentences; a fact that the run does not know is absent.
    """
    recipes = metrics["recipes"]
    chosen = next(row for row in recipes if row["recipe"] == best)
    found = {
        **_data(settings, rejected),
        **_protocol(settings, receipts),
        **_models(settings, recipes),
        **_judging(metrics),
        **_results(chosen, receipts),
    }
    return {name: text for name, text in found.items() if text}


def _data(settings: Mapping[str, Any], rejected: Sequence[Mapping[str, str]]) -> dict[str, str]:
    data, store, imbalance = settings["data"], settings.get("store", {}), settings["protocol"]["imbalance"]
    classes = ", ".join(f"{label} {number:,}" for label, number in data["classes"].items())
    used = f"{data['images']:,} images used ({classes}); {len(rejected):,} could not be used"
    shape = f"Images were decoded once and brought to {store['size']} px" if "size" in store else ""
    if shape and store.get("resize"):
        shape += f" ({store['resize']})"
    if shape and store.get("preset"):
        shape += f"; preset: {store['preset']}"
    return {
        "data": f"{data_title(data['name'])}: {data['images']:,} images ({classes}).",
        "classes": f"Labels as the set has them; normal: {', '.join(data['normal'])}; all others count as "
        "anomalies.",
        "included": used + (", listed with reasons." if rejected else "."),
        "missing": f"Images left out because they could not be used: {len(rejected):,}; nothing was imputed.",
        "preprocessing": f"{shape}. Scaling and projections were fitted on training rows only."
        if shape
        else "",
        "subset": "All usable images were used."
        if imbalance is None
        else f"Anomalies were taken out of training rows until normal : anomalous was "
        f"{ratio_text(imbalance)}; test rows are whole.",
    }


def _protocol(settings: Mapping[str, Any], receipts: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    protocol, data = settings["protocol"], settings["data"]
    times = f", repeated {protocol['repeats']} times" if protocol["repeats"] > 1 else ""
    kept = "images; groups were switched off" if protocol["groups"] == "off" else "groups"
    shared, outside = (sum(r[key] for r in receipts) for key in ("shared_groups", "parents_outside"))
    apart = "" if shared or protocol["groups"] == "off" else " nor its group"
    in_all = f" ({data['groups']:,} in all)" if "groups" in data and protocol["groups"] != "off" else ""
    found = " ".join(
        [*grouping_sentences(protocol["groups"], data), *grouping_warnings(protocol["groups"], data)]
    )
    return {
        "partition": f"{protocol['folds']}-fold cross-validation{times}, stratified by class, seed "
        f"{protocol['seed']}; {protocol['inner_folds']} inner folds for what is learned of scores.",
        "level": f"Kept apart are {kept}{in_all} (option groups: {protocol['groups']}). Receipt: {shared} "
        f"groups on both sides, {outside} parents of synthetic images outside training."
        + (f" {found}" if found else ""),
        "internal": f"Every image was tested once a repeat, by a model that had not seen it{apart}; "
        "development and test images come from the same set.",
        "external": "" if settings.get("external") else "No external set was tested in this run.",
        "protocol": "The methods section of this report, and every resolved setting in run.json.",
    }


def _models(settings: Mapping[str, Any], recipes: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    protocol, versions = settings["protocol"], settings.get("versions", {})
    models = list(dict.fromkeys(model_title(row["model"]) for row in recipes))
    balances = list(dict.fromkeys(balance_title(row["balance"]) for row in recipes))
    seen = sorted({str(row["representation"]) for row in recipes})
    calibrated = any(row["metrics"]["brier"]["mean"] is not None for row in recipes)
    backbone = any(name.startswith("embedding") for name in seen)
    tuned = (
        f"settings were chosen in {protocol['tune']} trials inside the training rows"
        if protocol.get("tune")
        else "no setting was tuned"
    )
    version = f"raresight {versions['raresight']}" if "raresight" in versions else "raresight"
    return {
        "technology": f"Machine learning for images: {', '.join(models)}.",
        "aim": f"To compare balances ({', '.join(balances)}) for {', '.join(models)}; models are developed "
        "and evaluated on one set.",
        "models": f"Recipes (model@representation+balance): {', '.join(row['recipe'] for row in recipes)}.",
        "predictors": f"The image alone, as {', '.join(seen)}; no clinical variable.",
        "software": ", ".join(f"{name} {version}" for name, version in versions.items())
        + ("." if versions else ""),
        "initialisation": f"Random numbers follow from seed {protocol['seed']}."
        + (" The embedding is a pretrained backbone, frozen." if backbone else ""),
        "training": f"Each recipe was trained on training rows of each fold; {tuned}.",
        "selection": f"None was chosen: all recipes, {len(recipes)} in number, are reported.",
        "imbalance": f"Compared on the same folds: {', '.join(balances)}.{_CALIBRATED if calibrated else ''}",
        "calibration": _CALIBRATED.strip() if calibrated else "",
        "code": f"{version}, Apache-2.0; the command stands in the methods section.",
    }


def _judging(metrics: Mapping[str, Any]) -> dict[str, str]:
    intervals, recipes = metrics["intervals"], metrics["recipes"]
    rules = list(dict.fromkeys(rule for row in recipes for rule in ("default", *row["at"])))
    tests = " Differences are tested in pairs, with Holm's correction." if metrics.get("verdicts") else ""
    groups, first = intervals["groups"], recipes[0]
    called = ", ".join(metric.title for metric in METRICS.values())
    return {
        "metrics": f"{called}: defined, with sources, under Every metric. Curves: ROC, "
        "precision–recall, calibration.",
        "uncertainty": f"95 % intervals; {intervals['resamples']:,} bootstrap draws of whole groups.{tests}",
        "thresholds": f"A score, cut at these thresholds: {', '.join(rules)}; learned ones come "
        "from inner folds only.",
        "sample": f"{first['n']:,} images, {first['positives']:,} of them anomalous, in "
        f"{groups['all']:,} groups ({groups['anomalous']:,} with an anomaly).",
        "limits": "See the model card's limits.",
    }


def _results(chosen: Mapping[str, Any], receipts: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    def told(names: Sequence[str]) -> str:
        known = [name for name in names if chosen["metrics"][name]["mean"] is not None]
        return ", ".join(f"{METRICS[n].title} {estimate_text(chosen['metrics'][n])}" for n in known)

    ranking, accuracy, calibration = told(("auroc", "auprc")), told(ACCURACY), told(CALIBRATION)
    rows = [(r["train_rows"], r["test_rows"]) for r in receipts]
    train = f"{min(r[0] for r in rows):,} to {max(r[0] for r in rows):,}" if rows else ""
    test = f"{min(r[1] for r in rows):,} to {max(r[1] for r in rows):,}" if rows else ""
    events = f"{chosen['positives']:,} anomalies in {chosen['n']:,} images"
    return {
        "performance": f"{chosen['recipe']}: {ranking}; every recipe in the tables." if ranking else "",
        "accuracy": f"{chosen['recipe']} at its default threshold: {accuracy}." if accuracy else "",
        "calibrated": f"{chosen['recipe']}, calibrated: {calibration}." if calibration else "",
        "mistakes": "The most confident mistakes of the recipe that ranks best are counted and, where the "
        "images are at hand, shown.",
        "events": f"{events}; folds of {train} training rows and {test} test rows." if rows else f"{events}.",
    }
