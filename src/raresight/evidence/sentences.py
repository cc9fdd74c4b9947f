"""What a balance did to each model, in a sentence: at the default threshold, and to the ranking."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from raresight.evidence.estimates import Evidence
from raresight.evidence.format import decimal, estimate_text, span
from raresight.evidence.names import balance_title

COMPARED = ("accuracy", "sensitivity", "specificity", "f1", "auroc", "auprc")
SMALL = 0.01
"""A ranking whose AUROC surely moved by less than this is taken for the same in the sentences."""

Change = Mapping[str, float | None]


def effects(
    evidence: Evidence, recipes: Iterable[Mapping[str, str]], undecided: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Compare every balance with ``none``, for the same model and representation, on the same rows.

    Parameters
    ----------
    evidence : Evidence
    recipes : iterable of mappings
        ``id``, ``model``, ``representation``, ``balance`` of each recipe.
    undecided : mapping, optional
        Recipe → why its verdict on AUROC cannot be given, whatever the interval.

    Returns
    -------
    list of dict
        ``recipe``, ``against``, ``model``, ``representation``, ``balance``; ``changes``: metric →
        ``{"from", "to", "difference", "low", "high"}`` at the default threshold; and ``sentence``.
    """
    rows = [r for r in recipes if r["id"] in evidence.rows]
    baselines = {(r["model"], r["representation"]): r["id"] for r in rows if r["balance"] == "none"}
    found = []
    for row in rows:
        against = baselines.get((row["model"], row["representation"]))
        if against is None or row["id"] == against or not evidence.same_rows(row["id"], against):
            continue
        changes = {name: evidence.difference(row["id"], against, name) for name in COMPARED}
        effect = {
            "recipe": row["id"],
            "against": against,
            **{part: row[part] for part in ("model", "representation", "balance")},
            "changes": changes,
        }
        said = sentence(effect, (undecided or {}).get(row["id"], ""))
        found.append({**effect, "sentence": said + _learned_threshold(evidence, effect)})
    return found


def sentence(effect: Mapping[str, Any], undecided: str = "") -> str:
    """Say what a balance did, and no more than the intervals and the verdict bear out."""
    changes = effect["changes"]
    who = f"{effect['model']}@{effect['representation']}"
    decided = [f"{name} {moved(changes[name])}" for name in ("sensitivity", "specificity")]
    return (
        f"With {balance_title(effect['balance'])}, {who}'s {decided[0]} and its {decided[1]} at the default "
        f"threshold, while AUROC {ranking_moved(changes['auroc'])}: {conclusion(changes, undecided)}."
    )


def conclusion(changes: Mapping[str, Change], undecided: str = "") -> str:
    """Draw the cautious conclusion from the changes' 95 % intervals.

    Parameters
    ----------
    changes : mapping
        Metric → change.
    undecided : str
        Why no verdict on the ranking can be given: intervals over groups do not know how training by chance
        differs. Then neither a better nor a worse ranking is claimed.
    """
    decided = any(is_clear(changes[name]) for name in ("sensitivity", "specificity"))
    ranking = changes["auroc"]
    if is_small(ranking):
        if decided:
            return "a moved threshold, not a better ranking"
        return "a small change of the ranking alone" if is_clear(ranking) else "no clear change"
    if is_clear(ranking) and undecided:
        return f"a change of the ranking that is not decided, because {undecided}"
    if is_clear(ranking):
        return (
            "a better ranking of the images"
            if (ranking["difference"] or 0) > 0
            else "a worse ranking of the images"
        )
    if decided:
        return "the decisions moved; whether the ranking did, these images cannot tell"
    return "no clear change, and too few images to rule one out"


def is_clear(change: Change) -> bool:
    """Tell whether the interval of a difference leaves 0 out."""
    low, high = change["low"], change["high"]
    return low is not None and high is not None and (low > 0 or high < 0)


def is_small(change: Change) -> bool:
    """Tell whether the whole interval of a difference is nearer to 0 than `SMALL`."""
    low, high = change["low"], change["high"]
    return low is not None and high is not None and low > -SMALL and high < SMALL


def moved(change: Change) -> str:
    """Say how a metric changed, and whether that is clear."""
    old, new = decimal(change["from"]), decimal(change["to"])
    if not is_clear(change):
        if old == new:
            return f"stayed at {new} ({_reach(change)})"
        return f"shows no clear change ({old} → {new}; {_reach(change)})"
    verb = "rose" if (change["difference"] or 0) > 0 else "fell"
    return f"{verb} from {old} to {new} ({_reach(change)})"


def ranking_moved(change: Change) -> str:
    """Say how a ranking changed; one that surely moved by less than `SMALL` is taken for the same."""
    if not is_small(change):
        return moved(change)
    old, new = decimal(change["from"]), decimal(change["to"])
    where = f"stayed at {new}" if old == new else f"moved by less than {decimal(SMALL, 2)}, {old} → {new}"
    return f"{where} ({_reach(change)})"


def _reach(change: Change) -> str:
    interval = span(change, sign=True)
    return f"{decimal(change['difference'], sign=True)}" + (f", {interval}" if interval else "")


def _learned_threshold(evidence: Evidence, effect: Mapping[str, Any]) -> str:
    """Say what a learned threshold does for the baseline, where the balance only moved decisions."""
    against, sensitivity = effect["against"], effect["changes"]["sensitivity"]
    rose = is_clear(sensitivity) and sensitivity["difference"] > 0
    if not rose or not is_small(effect["changes"]["auroc"]) or "youden" not in evidence.point[against].at:
        return ""
    values = [evidence.cell(against, name, "youden")["mean"] for name in ("sensitivity", "specificity")]
    return (
        f" Without it, but cut at a threshold learned inside the training folds (Youden), sensitivity is "
        f"{decimal(values[0])} and specificity {decimal(values[1])}."
    )


def ranking_sentence(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Name the recipe that ranks best, and what it decides at its default threshold; None without AUROC."""
    ranked = [row for row in rows if row["metrics"]["auroc"]["mean"] is not None]
    if not ranked:
        return None
    best = max(ranked, key=lambda row: row["metrics"]["auroc"]["mean"])
    cells = best["metrics"]
    among = (
        f"Of {len(rows)} recipes, {best['recipe']} ranks best" if len(rows) > 1 else f"{best['recipe']} ranks"
    )
    return (
        f"{among}: AUROC {estimate_text(cells['auroc'])}; at its default threshold "
        f"sensitivity {estimate_text(cells['sensitivity'])} and specificity "
        f"{estimate_text(cells['specificity'])}."
    )
