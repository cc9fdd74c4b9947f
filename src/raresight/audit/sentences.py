"""What an audit found, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from raresight.audit import PROBES
from raresight.evidence.format import estimate_text

WARN_FROM = 0.60
"""A probe is a shortcut when the whole interval of its AUROC lies above this: what chance rarely reaches."""

Row = Mapping[str, Any]


def is_shortcut(row: Row) -> bool:
    """Tell whether a probe tells its class better than chance would."""
    low = row["auroc"]["low"]
    return low is not None and bool(low > WARN_FROM)


def shortcut_sentence(row: Row, model: Mapping[str, Any]) -> str:
    """Say how well a probe tells a class, beside the real model."""
    real = next((m for m in model.get("classes", ()) if m["class"] == row["class"]), None)
    beside = f"; {model['recipe']} reaches {estimate_text(real['auroc'])}" if real else ""
    return (
        f"{_called(row['probe'])} tells {row['class']} from the rest: AUROC {estimate_text(row['auroc'])}, "
        f"accuracy {estimate_text(row['accuracy'])}{beside}."
    )


def sentences(found: Mapping[str, Any]) -> list[str]:
    """List what was found, the worst shortcut first, and what is in order where nothing was."""
    return [*_shortcuts(found), *_twins(found), *_groups(found), *_labels(found), *_rest(found)]


def _called(probe: str) -> str:
    summary = PROBES[probe].summary
    return summary[0].upper() + summary[1:]


def _shortcuts(found: Mapping[str, Any]) -> list[str]:
    rows: Sequence[Row] = found["shortcuts"]
    if not rows:
        return []
    strongest = {row["probe"]: row for row in reversed(rows)}  # of each probe the class it tells best
    told = [row for row in rows if is_shortcut(row) and row is strongest[row["probe"]]]
    if not told:
        return [f"No probe finds a shortcut; the best one: {shortcut_sentence(rows[0], found['model'])}"]
    return [shortcut_sentence(row, found["model"]) for row in told]


def _twins(found: Mapping[str, Any]) -> list[str]:
    groups = found["duplicates"]["groups"]
    if not groups:
        return ["No two images are duplicates."]
    images = sum(len(group["files"]) for group in groups)
    exact = sum(group["kind"] == "exact" for group in groups)
    against = sum(group["contradictory"] for group in groups)
    told = [
        f"{_count(images, 'image')} stand in {_count(len(groups), 'group')} of duplicates, "
        f"{exact} exact and {len(groups) - exact} near."
    ]
    if against:
        told.append(f"{_count(against, 'group')} of duplicates {_verb(against)} contradictory labels.")
    if found["split_twins"]:
        count = len(found["split_twins"])
        told.append(f"{_count(count, 'test image')} {_verb(count)} a twin among the training images.")
    return told


def _groups(found: Mapping[str, Any]) -> list[str]:
    told = []
    across, groups = found["patients_across_splits"], found["groups"]
    if across:
        told.append(
            f"{_count(across, 'patient')} {_verb(across)} images on both sides of the published split."
        )
    told += [
        f"{len(files):,} images look so alike that they were not taken for duplicates: rather one look that "
        "many share."
        for files in groups["unmerged"]
    ]
    if groups["mixed"]:
        told.append(f"{_count(groups['mixed'], 'group')} {_verb(groups['mixed'])} images of several classes.")
    return told


def _labels(found: Mapping[str, Any]) -> list[str]:
    count = len(found["label_errors"])
    return [f"{_count(count, 'label')} {'is' if count == 1 else 'are'} probably wrong."] if count else []


def _rest(found: Mapping[str, Any]) -> list[str]:
    told = []
    ratio = found["imbalance"]["largest_to_smallest"]
    if ratio >= 1.5:
        told.append(f"The largest class is {ratio:.1f} times the smallest.")
    count = len(found["rejected"])
    if count:
        told.append(f"{_count(count, 'image')} cannot be read.")
    return told + [note[0].upper() + note[1:] + "." for note in found["notes"]]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _verb(number: int) -> str:
    return "has" if number == 1 else "have"
