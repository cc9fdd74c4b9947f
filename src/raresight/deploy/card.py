"""The model card of a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raresight.deploy.judged import Judged
from raresight.evidence.names import titles
from raresight.evidence.thresholds import rule_title
from raresight.experiment.refit import Refit
from raresight.report.card import model_card

INTENDED = [
    "Research. Not a medical device; not for decisions about patients without a person who looks too.",
    "Only for images like those that it was trained on.",
]
UNAWARE = "It does not know by itself what is unlike them: train it with --refer novelty."
RULES = {
    "novelty": "What is unlike the training images is referred to a person.",
    "conformal": "An image of which not one class alone is plausible is referred to a person; "
    "thresholds have no say.",
}


def bundle_card(facts: Mapping[str, Any], judged: Judged | None, refit: Refit) -> str:
    """Write the card as Markdown.

    Parameters
    ----------
    facts : mapping
        What ``bundle.json`` holds.
    judged : Judged or None
    refit : Refit
    """
    sections = {
        "Model": _model(facts, refit),
        "Intended use": [*INTENDED, *([] if _aware(facts) else [UNAWARE])],
        "Input": _input(facts),
        "Decisions": _decisions(facts),
    }
    if judged is None:
        sections["Performance"] = ["Not known: the images hold too few anomalies to judge by."]
    else:
        called = titles(judged.metrics["recipes"])
        alone = {**judged.metrics, "recipes": [judged.row]}  # how it was chosen stands in judged.sentence
        card = model_card(alone, judged.settings, judged.recipe, called)
        sections |= {name: card[name] for name in ("Data", "Performance", "Limits")}
        sections["Performance"] = [judged.sentence, *sections["Performance"]]
    lines = [f"# {facts['recipe']['id']}", ""]
    for name, sentences in sections.items():
        lines += [f"## {name}", "", *(f"- {sentence}" for sentence in sentences), ""]
    return "\n".join(lines)


def _model(facts: Mapping[str, Any], refit: Refit) -> list[str]:
    data, recipe = facts["data"], facts["recipe"]
    title = titles([recipe])[recipe["id"]]
    held = data["images"] - data["trained_on"]
    seen = f"{data['trained_on']:,} images" + (f"; {held:,} more said when to stop" if held else "")
    return [f"{title} ({recipe['id']}), made with raresight {facts['raresight']}, trained on {seen}."]


def _input(facts: Mapping[str, Any]) -> list[str]:
    taken = facts["input"]
    colour = "colour" if taken["channels"] == 3 else "grey"
    prepared = taken["preprocess"]
    steps = [f"resized to {taken['size']} × {taken['size']} pixels ({prepared['resize']})"]
    if taken["modality"]:
        steps.insert(0, f"prepared as {taken['modality']}")
    if prepared.get("neutralise"):
        steps.append(f"neutralised: {', '.join(prepared['neutralise'])}")
    normal, anomalous = (", ".join(facts["labels"][kind]) for kind in ("normal", "anomalous"))
    return [
        f"Images in {colour}, {taken['bits']} bits; {', '.join(steps)}.",
        f"Normal: {normal}. Anomalous: {anomalous}.",
    ]


def _aware(facts: Mapping[str, Any]) -> bool:
    return any(rule["kind"] == "novelty" for rule in facts["deciders"])


def _decisions(facts: Mapping[str, Any]) -> list[str]:
    cuts = ", ".join(f"{rule_title(rule)} {value:.4g}" for rule, value in facts["thresholds"].items())
    found = [f"An image is called anomalous from a threshold on: {cuts}."]
    found += [RULES[rule["kind"]] for rule in facts["deciders"]]
    calibration = facts["calibration"]
    if calibration is None:
        return [*found, "There are no probabilities."]
    return [
        *found,
        f"Probabilities ({calibration['method']}) hold where {calibration['stated_at']:.1%} of images are "
        "anomalous.",
    ]
