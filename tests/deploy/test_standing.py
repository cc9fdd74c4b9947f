"""Where a score stands, against the exact shares of a simulated set."""

from __future__ import annotations

import numpy as np
import pytest

from raresight.deploy.standing import standing


def told(scores: np.ndarray) -> dict[str, object]:
    quantiles = np.quantile(scores, np.linspace(0, 1, 101)) if len(scores) else []
    return {"n": len(scores), "quantiles": list(map(float, quantiles))}


@pytest.mark.parametrize("n", [5, 40, 3000])
def test_shares_are_those_of_the_set(n):
    random = np.random.default_rng(n)
    normal, anomalous = random.normal(0, 1, n), random.normal(2, 1, n)
    kept = {"normal": told(normal), "anomalous": told(anomalous)}
    for score in (*random.normal(1, 2, 50), normal.min(), normal.max(), -20.0, 20.0):
        found = standing(float(score), kept)
        close = 0.01 + 1 / n
        assert found["normal_as_high"] == pytest.approx((normal >= score).mean(), abs=close)
        assert found["anomalous_as_low"] == pytest.approx((anomalous <= score).mean(), abs=close)


def test_beyond_all_training_scores_the_share_is_0_or_1_exactly():
    kept = {"normal": told(np.arange(10.0)), "anomalous": told(np.arange(10.0))}
    assert standing(9.5, kept) == {"normal_as_high": 0.0, "anomalous_as_low": 1.0}
    assert standing(-0.5, kept) == {"normal_as_high": 1.0, "anomalous_as_low": 0.0}
    assert standing(9.0, kept)["normal_as_high"] == pytest.approx(0.1)


def test_equal_scores_all_count():
    same = np.array([0.0] * 50 + [1.0] * 50)
    found = standing(0.0, {"normal": told(same), "anomalous": told(same)})
    assert found["normal_as_high"] == pytest.approx(1.0)
    assert found["anomalous_as_low"] == pytest.approx(0.5, abs=0.02)


def test_without_such_images_nothing_is_said():
    found = standing(0.0, {"normal": told(np.arange(3.0)), "anomalous": told(np.array([]))})
    assert found["anomalous_as_low"] is None and found["normal_as_high"] is not None
