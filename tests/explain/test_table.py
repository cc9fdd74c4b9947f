from __future__ import annotations

import numpy as np
import pytest
from fitted_lab import Lab

from raresight.errors import OptionError
from raresight.experiment.recipe import make_recipes
from raresight.explain.occlusion import score_seen
from raresight.explain.table import table_contributions
from raresight.images.load import load
from raresight.images.store import build_store


def test_contributions_sum_to_the_score_less_that_of_the_mean_case():
    images = load("phantom:brain?n=32&anomalies=0.5&difficulty=0&modalities=t1,flair&missing=0.1")
    store = build_store(images)
    (recipe,) = make_recipes(["fusion"], ["none"], "cases[table=marker]")
    rows = np.arange(len(store))
    fitted = recipe.fit(store, rows[rows % 4 > 0], 0)
    asked = rows[rows % 4 == 0]
    found = table_contributions(fitted, store, asked)
    assert list(found.columns) == ["t1", "flair", "marker"] and len(found) == len(asked)
    X = fitted.space.transform(store, fitted.rows).astype(np.float64)
    usual = score_seen(fitted, np.nanmean(X, axis=0, keepdims=True).astype(np.float32))
    apart = fitted.score(store, asked) - usual
    assert found.sum(axis=1).to_numpy() == pytest.approx(apart, abs=1e-3)
    # What a case lacks is judged as missing, what it has by its own value.
    assert found["marker"].std() > 0 and found["t1"].std() > 0


def test_a_recipe_without_a_table_is_refused(lab: Lab):
    with pytest.raises(OptionError, match="sees no table"):
        table_contributions(lab.fitted("logistic"), lab.store, lab.test[:1])
