"""Cases of two images and a table: fused, with some of it missing, balanced, exported."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnxruntime
import pytest

from raresight.errors import OptionError
from raresight.experiment.recipe import make_recipes
from raresight.images.load import load
from raresight.images.store import ImageStore, build_store

SET = "phantom:brain?n=60&anomalies=0.4&difficulty=0.2&modalities=t1,flair&missing=0.2&slices=1"
TABLE = "cases[table=marker+sex]"


@cache
def store() -> ImageStore:
    return build_store(load(SET))


@pytest.mark.parametrize("model", ["fusion", "fusion[how=early]", "fusion[base=svm]"])
@pytest.mark.parametrize("balance", ["none", "smote-nc", "smote"])
def test_missing_images_are_tolerated_by_every_way_of_fusing(model, balance, tmp_path):
    rows = np.arange(len(store()))
    fitted = make_recipes([model], [balance], TABLE)[0].fit(store(), rows, 0, store().manifest.groups())
    X = fitted.seen(store(), rows)
    assert np.isnan(X).any()
    scores = fitted.detector.decision_function(X)
    assert np.isfinite(scores).all()
    fitted.detector.export_onnx(tmp_path / "fusion.onnx", X)
    session = onnxruntime.InferenceSession(tmp_path / "fusion.onnx", providers=["CPUExecutionProvider"])
    (exported,) = session.run(["score"], {"x": X.astype(np.float32)})
    np.testing.assert_allclose(exported, scores, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("space", "said"),
    [("cases[table=iq]", "no column 'iq'"), ("cases[modalities=pet]", "no images 'pet'")],
)
def test_what_the_set_does_not_have_is_refused(space, said):
    with pytest.raises(OptionError, match=said):
        make_recipes(["fusion"], ["none"], space)[0].fit(store(), np.arange(60), 0)


def test_together_they_find_more_than_each_alone(tmp_path):
    import raresight as rs

    images = rs.load(
        "phantom:brain?n=150&anomalies=0.4&difficulty=0.1&modalities=t1,flair&slices=1&missing=0.1"
    )
    spaces = ["cases[table=marker]", "cases[modalities=t1]", "cases[modalities=none,table=marker]"]
    run = rs.compare(
        images, ["fusion"], ["none"], representation=spaces, folds=3, workers=1, out=tmp_path / "run"
    )
    auroc = [row["metrics"]["auroc"]["mean"] for row in run.metrics["recipes"]]
    assert auroc[0] > 0.85
    assert auroc[0] > max(auroc[1:]) + 0.03
