"""Rules by which a bundle refers images, learned in training and asked with numpy alone."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

import raresight as rs
from raresight.deploy.refer import parse_refer
from raresight.errors import OptionError
from raresight.explain.novelty import RATE


@pytest.fixture(scope="module")
def careful(images, tmp_path_factory):
    made = rs.train(
        images,
        "rf[n_estimators=30]",
        representation="pca[components=8]",
        inner_folds=2,
        refer=["novelty", "conformal=0.2"],
    )
    return made, made.save(tmp_path_factory.mktemp("careful") / "b")


def test_what_is_unlike_the_training_images_is_referred(careful, images):
    predictor = rs.Predictor(careful[1])
    random = np.random.default_rng(0)
    noise = random.integers(0, 255, (224, 224)).astype(np.uint8)
    white, tiny = np.full((300, 300), 255, np.uint8), np.zeros((8, 8), np.uint8)
    for odd in predictor.predict([noise, white, tiny]):
        assert odd.decision == "refer"
        assert odd.reason.startswith("the image is ")
        assert odd.score is not None
    own = predictor.predict([images.read(row) for row in range(len(images))])
    unlike = [one for one in own if (one.reason or "").startswith("the image is ")]
    assert len(unlike) <= 0.1 * len(own)


def test_one_plausible_class_is_the_answer_and_two_are_referred(careful, images):
    _, folder = careful
    predictor = rs.Predictor(folder)
    (rule,) = [each for each in predictor._deciders if hasattr(each, "conformal")]
    own = predictor.predict([images.read(row) for row in range(len(images))])
    for one in own:
        if not (one.reason or "").startswith("the image is "):
            assert one.decision == rule.conformal.decide([one.score])[0]
            assert (one.decision == "refer") == (one.reason is not None)
    facts = json.loads((folder / "bundle.json").read_text())
    assert [rule["kind"] for rule in facts["deciders"]] == ["novelty", "conformal"]
    assert "referred to a person" in (folder / "model_card.md").read_text()


def test_rules_are_asked_with_numpy_alone(careful):
    code = f"""
import sys
import numpy as np
import raresight as rs
assert rs.Predictor({str(careful[1])!r}).predict(np.zeros((9, 9), np.uint8))[0].decision == "refer"
assert not [name for name in ("torch", "pandas", "scipy", "sklearn", "onnx") if name in sys.modules]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_wrong_rules_are_refused_before_any_work(images):
    assert parse_refer(["novelty", "conformal=0.1"]) == {"novelty": RATE, "conformal": 0.1}
    for wrong in (["oracle"], ["conformal"], ["conformal=2"], ["novelty=nan"], ["novelty", "novelty=0.1"]):
        with pytest.raises(OptionError, match="cannot refer by"):
            rs.train(images, refer=wrong)


def test_too_few_patients_for_a_rate_are_refused(images, tmp_path):
    made = rs.train(
        images,
        "rf[n_estimators=5]",
        representation="pca[components=4]",
        inner_folds=2,
        refer=["conformal=0.001"],
    )
    with pytest.raises(OptionError, match="patients"):
        made.save(tmp_path / "b")
