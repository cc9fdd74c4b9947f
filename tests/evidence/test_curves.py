"""Curves agree with the metrics they picture."""

from __future__ import annotations

import numpy as np
import pytest

from raresight.evidence.curves import (
    calibration_curve,
    operating_point,
    precision_recall_curve,
    roc_curve,
)
from raresight.evidence.estimates import weigh

RECIPE = "svm@embedding+none"


@pytest.fixture
def weighed(made_up):
    return weigh(*made_up(groups=300), resamples=2)


def test_the_area_under_the_mean_roc_curve_is_the_mean_auroc(weighed):
    curve = roc_curve(weighed.rows[RECIPE])
    assert np.trapezoid(curve.y, curve.x) == pytest.approx(weighed.point[RECIPE].value("auroc")[0], abs=0.005)
    assert (np.diff(curve.y) >= 0).all() and (curve.x[0], curve.y[0]) == (0, 0) and curve.y[-1] == 1


def test_the_area_under_the_mean_precision_curve_is_the_mean_average_precision(weighed):
    curve = precision_recall_curve(weighed.rows[RECIPE])
    assert curve.y[1:].mean() == pytest.approx(weighed.point[RECIPE].value("auprc")[0], abs=0.005)


def test_calibrated_probabilities_lie_near_the_diagonal_and_absent_ones_give_no_curve(made_up):
    predictions, thresholds = made_up(groups=4000, size=1, shared=0.0)
    curve = calibration_curve(weigh(predictions, thresholds, resamples=2).rows[RECIPE])
    assert len(curve.x) == 10 and np.abs(curve.x - curve.y).max() < 0.1
    nothing = predictions.assign(probability=np.nan)
    assert calibration_curve(weigh(nothing, thresholds, resamples=2).rows[RECIPE]) is None


def test_the_operating_point_is_what_the_metrics_say(weighed):
    x, y = operating_point(weighed.rows[RECIPE])
    assert (1 - x, y) == (
        pytest.approx(weighed.point[RECIPE].value("specificity")[0]),
        pytest.approx(weighed.point[RECIPE].value("sensitivity")[0]),
    )
