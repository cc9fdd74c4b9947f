from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fitted_lab import Lab

from raresight.errors import OptionError
from raresight.explain.neighbours import nearest_training


def test_neighbours_are_the_nearest_rows_of_each_class_as_the_detector_sees_them(lab: Lab):
    fitted, rows = lab.fitted("logistic"), lab.test[:4]
    found = nearest_training(fitted, lab.store, rows, k=2)
    assert found.space == "embedding" and found.rows.shape == (4, 2, 2)
    y, Z = lab.store.manifest.y, fitted.seen(lab.store, np.arange(len(lab.store)))
    for place, row in enumerate(rows):
        for code in (0, 1):
            own = lab.train[y[lab.train] == code]
            apart = np.linalg.norm(Z[own] - Z[row], axis=1)
            order = np.argsort(apart)[:2]
            assert (found.rows[place, code] == own[order]).all()
            assert found.distances[place, code] == pytest.approx(apart[order], rel=1e-6)
            assert found.relative[place, code] == pytest.approx(apart[order] / found.usual[code])


def test_a_training_image_is_not_its_own_neighbour(lab: Lab):
    found = nearest_training(lab.fitted("logistic"), lab.store, lab.train[:5])
    assert (found.rows[:, :, 0] != lab.train[:5, None]).all() and (found.distances > 0).all()


def test_a_detector_of_images_is_compared_in_the_embedding(lab: Lab):
    assert nearest_training(lab.fitted("cnn"), lab.store, lab.test[:1]).space == "embedding"


def test_a_class_without_training_rows_has_no_neighbours(lab: Lab):
    fitted = lab.fitted("knn")
    normal = replace(fitted, rows=fitted.rows[lab.store.manifest.y[fitted.rows] == 0])
    found = nearest_training(normal, lab.store, lab.test[:2])
    assert (found.rows[:, 1] == -1).all() and np.isnan(found.distances[:, 1]).all()
    assert (found.rows[:, 0] >= 0).all()


def test_no_neighbours_are_refused(lab: Lab):
    with pytest.raises(OptionError, match="at least 1"):
        nearest_training(lab.fitted("logistic"), lab.store, lab.test[:1], k=0)
