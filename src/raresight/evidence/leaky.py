"""What a leak is worth: a comparison that was balanced before it was split, beside the honest one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from raresight.evidence.estimates import Estimates, known, weigh
from raresight.evidence.format import decimal

INFLATED = ("sensitivity", "specificity", "accuracy", "auroc")


def inflation(leaky: pd.DataFrame, recipes: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Subtract the honest figures from those of the leaky twin.

    Parameters
    ----------
    leaky : pandas.DataFrame
        The predictions table's columns with ``threshold``, ``synthetic`` and ``related``, one row a test row.
    recipes : iterable of mappings
        Rows of ``metrics.json``.

    Returns
    -------
    dict
        ``recipes``: for each recipe of `leaky`, ``recipe``, ``rows``, ``synthetic``, ``related`` (counts of
        test rows) and ``metrics``: metric → ``{"honest", "leaky", "real_rows", "inflation",
        "inflation_real_rows"}``, ``real_rows`` being the leaky model on real test rows only, differences as
        fractions; ``sentences``.
    """
    honest = {row["recipe"]: row["metrics"] for row in recipes}
    every, real = _points(leaky), _points(leaky[~leaky["synthetic"]].reset_index(drop=True))
    found = []
    for recipe, part in leaky.groupby("recipe", sort=False):
        if recipe in honest:
            name = str(recipe)
            metrics = {m: _apart(honest[name][m]["mean"], every[name], real[name], m) for m in INFLATED}
            counts = {column: int(part[column].sum()) for column in ("synthetic", "related")}
            found.append({"recipe": name, "rows": len(part), **counts, "metrics": metrics})
    return {"recipes": found, "sentences": [_sentence(row) for row in found]}


def _points(frame: pd.DataFrame) -> dict[str, Estimates]:
    once = frame.drop_duplicates(["recipe", "repeat", "fold"])
    columns = [once[name].tolist() for name in ("recipe", "repeat", "fold", "threshold")]
    thresholds = {(r, n, f): {"default": float(cut)} for r, n, f, cut in zip(*columns, strict=True)}
    return weigh(frame, thresholds, resamples=1).point


def _apart(honest: float | None, every: Estimates, real: Estimates, metric: str) -> dict[str, float | None]:
    leaky, on_real = (known(float(e.value(metric)[0])) for e in (every, real))
    return {
        "honest": honest,
        "leaky": leaky,
        "real_rows": on_real,
        "inflation": None if leaky is None or honest is None else leaky - honest,
        "inflation_real_rows": None if on_real is None or honest is None else on_real - honest,
    }


def points(difference: float | None) -> str:
    """Write a difference of fractions in percentage points, with its sign: ``+54.3``."""
    return "–" if difference is None else f"{100 * difference:+.1f}".replace("-", "−")


def _sentence(row: Mapping[str, Any]) -> str:
    told = [
        f"{metric} {decimal(cell['honest'])} → {decimal(cell['leaky'])} ({points(cell['inflation'])} points)"
        for metric, cell in ((m.replace("auroc", "AUROC"), row["metrics"][m]) for m in INFLATED)
    ]
    share = row["related"] / max(1, row["rows"])
    return (
        f"Balanced before the split, {row['recipe']} would be published with {', '.join(told[:-1])} and "
        f"{told[-1]}: {100 * share:.0f} % of its test rows are made from training rows, or training rows "
        "from them."
    )
