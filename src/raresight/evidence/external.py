"""How recipes do on another labelled set, which none of them learned from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from raresight.evidence.estimates import Thresholds, weigh
from raresight.evidence.intervals import RESAMPLES
from raresight.evidence.metrics import METRICS
from raresight.evidence.names import split_id


def summarise_external(
    predictions: pd.DataFrame,
    thresholds: Thresholds,
    settings: Mapping[str, Any],
    *,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """Compute the ``external`` part of ``metrics.json``.

    Each (repeat, fold) brought a model of its own forth, which scored every image: metrics are computed for
    each and averaged; the intervals resample the external set's groups.

    Parameters
    ----------
    predictions : pandas.DataFrame
        The columns of the run's predictions; ``row`` counts in the external set.
    thresholds : mapping
        (recipe, repeat, fold) → {rule: value on the scale of score}, as the run has them.
    settings : mapping
        ``run.json``: ``external``, ``recipes`` and ``protocol.seed`` are read.
    resamples : int
        Of the bootstrap over groups.

    Returns
    -------
    dict
        ``run.json``'s ``external`` without its key, ``groups``, and ``recipes``: ``recipe, model,
        representation, balance, n, positives, models`` and ``metrics`` at the default threshold.

    Raises
    ------
    DataError
        If the predictions cannot be judged; see `weigh`.
    """
    pairs = predictions[["repeat", "fold"]].drop_duplicates().sort_values(["repeat", "fold"])
    number = {(int(r), int(f)): i for i, (r, f) in enumerate(pairs.itertuples(index=False))}
    # A model is a repeat of its own: its scores and probabilities are pooled with no other's.
    model = [number[r, f] for r, f in zip(predictions["repeat"], predictions["fold"], strict=True)]
    apart = predictions.assign(repeat=np.array(model, np.int64), fold=0)
    own = {
        (recipe, number[r, f], 0): rules for (recipe, r, f), rules in thresholds.items() if (r, f) in number
    }
    evidence = weigh(apart, own, resamples=resamples, seed=int(settings["protocol"]["seed"]))
    known = {r["id"]: r for r in settings.get("recipes", [])}
    rows = []
    for name, found in evidence.rows.items():
        first = found.repeat == found.repeat[0]
        part = {**split_id(name), **known.get(name, {})}
        rows.append(
            {
                "recipe": name,
                **{key: part[key] for key in ("model", "representation", "balance")},
                "n": int(first.sum()),
                "positives": int(found.label[first].sum()),
                "models": len(np.unique(found.repeat)),
                "metrics": {metric: evidence.cell(name, metric) for metric in METRICS},
            }
        )
    facts = {key: value for key, value in settings["external"].items() if key != "key"}
    return {**facts, "groups": evidence.groups, "recipes": rows}
