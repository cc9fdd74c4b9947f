from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import raresight as rs
from raresight.balance import SAMPLERS
from raresight.balance.latent import Decoded, LatentSMOTE
from raresight.balance.neighbours import Gram
from raresight.errors import OptionError
from raresight.experiment.balancing import gram_path, make_gram, shared_gram
from raresight.experiment.recipe import make_recipes
from raresight.images.store import ImageStore, build_store
from raresight.represent.embedding import Embedding
from raresight.represent.pca import PrincipalComponents
from raresight.represent.pixels import Pixels

ROWS = np.arange(0, 64, 2)
MAKES_IMAGES = {"latent-smote", "deepsmote", "gan"}
NEEDS_COLUMNS = {"smote-nc"}
FOR_NETWORKS = {"focal"}


@pytest.fixture(scope="module")
def store(noise_set: Path) -> ImageStore:
    return build_store(rs.load(noise_set))


@pytest.mark.parametrize("balance", sorted(set(SAMPLERS) - MAKES_IMAGES - NEEDS_COLUMNS - FOR_NETWORKS))
def test_every_balance_goes_with_a_classical_detector(balance: str, store: ImageStore):
    recipe = make_recipes(["logistic"], [balance])[0]
    fitted = recipe.fit(store, ROWS, 0, store.manifest.groups())
    again = recipe.fit(store, ROWS, 0, store.manifest.groups())
    score = fitted.score(store, np.arange(1, 64, 2))
    assert np.isfinite(score).all() and (score == again.score(store, np.arange(1, 64, 2))).all()
    assert fitted.plan.check(len(ROWS)) == 0


@pytest.mark.parametrize(
    ("model", "balance", "message"),
    [
        ("rf", "focal", "focal needs a detector with a loss of its own, which RandomForest has not"),
        ("svm", "logit-adjustment", "log odds"),
        ("svm", "smote[blend=pca]", "cannot be turned into embedding"),
        ("svm", "deepsmote[neighbours=pixels]", "a latent space of its own"),
        ("svm", "smote[k_neighbours=3]", "no option 'k_neighbours'"),
    ],
)
def test_what_does_not_go_together_is_refused_before_any_work(model: str, balance: str, message: str):
    with pytest.raises(OptionError, match=message):
        make_recipes([model], [balance])


def test_neighbours_in_one_space_and_the_blend_in_another(store: ImageStore):
    groups = store.manifest.groups()
    plain = make_recipes(["logistic"], ["smote"])[0].fit(store, ROWS, 0, groups)
    pixels = make_recipes(["logistic"], ["smote[neighbours=pixels]"])[0].fit(store, ROWS, 0, groups)
    blended = make_recipes(["logistic"], ["smote[blend=pixels]"])[0].fit(store, ROWS, 0, groups)
    assert (plain.plan.base == blended.plan.base).all() and (plain.plan.partner == blended.plan.partner).all()
    assert (plain.plan.partner != pixels.plan.partner).any()
    assert (plain.score(store, ROWS) != blended.score(store, ROWS)).any()


@pytest.mark.parametrize(
    "balance",
    [
        "latent-smote[steps=4]",
        "deepsmote[steps=4]",
        "smote[blend=latent]",
        "smote[blend=latent,neighbours=pca]",
    ],
)
@pytest.mark.parametrize("model", ["logistic", "cnn[epochs=1,members=1]"])
def test_images_made_by_a_decoder_go_with_every_detector(
    model: str, balance: str, store: ImageStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(
        LatentSMOTE.__init__, "__kwdefaults__", {**LatentSMOTE.__init__.__kwdefaults__, "steps": 4}
    )
    recipe = make_recipes([model], [balance])[0]
    held = np.arange(1, 64, 2) if recipe.network else None
    fitted = recipe.fit(store, ROWS, 0, store.manifest.groups(), validation=held)
    assert len(fitted.plan) and isinstance(fitted.plan.law, Decoded)
    assert fitted.plan.check(len(ROWS)) == 0
    assert np.isfinite(fitted.score(store, np.arange(1, 64, 2))).all()


def test_neighbours_for_a_decoder_are_sought_where_the_user_says(
    store: ImageStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(
        LatentSMOTE.__init__, "__kwdefaults__", {**LatentSMOTE.__init__.__kwdefaults__, "steps": 4}
    )
    groups = store.manifest.groups()
    plain = make_recipes(["logistic"], ["smote"])[0].fit(store, ROWS, 0, groups).plan
    decoded = make_recipes(["logistic"], ["smote[blend=latent]"])[0].fit(store, ROWS, 0, groups).plan
    assert (plain.base == decoded.base).all() and (plain.partner == decoded.partner).all()


def test_images_blended_are_represented_like_those_of_the_store(store: ImageStore):
    images = store.pixels[ROWS[:5]]
    for space in (Pixels(56), PrincipalComponents(4, 28), Embedding()):
        fitted = space.fit(store, ROWS)
        assert np.abs(fitted.of(images) - fitted.transform(store, ROWS[:5])).max() < 1e-5


@pytest.mark.parametrize("balance", ["smote", "borderline", "adasyn", "enn", "smote-enn", "smote-tomek"])
def test_one_gram_sliced_gives_the_plan_of_a_fold_alone(
    balance: str, noise_set: Path, tmp_path: Path, monkeypatch
):
    monkeypatch.setenv("RARESIGHT_CACHE", str(tmp_path))
    store = build_store(rs.load(noise_set))
    recipe = make_recipes(["logistic"], [balance])[0]
    alone = recipe.fit(store, ROWS, 0).plan
    make_gram(store, Embedding())
    assert shared_gram(store, Embedding()) is not None
    sliced = recipe.fit(store, ROWS, 0).plan
    for part in ("base", "partner", "keep"):
        assert (getattr(alone, part) == getattr(sliced, part)).all()


def test_a_learned_space_has_no_shared_gram(store: ImageStore):
    assert gram_path(store, PrincipalComponents()) is None


def test_a_gram_in_a_file_is_the_gram(store: ImageStore):
    make_gram(store, Pixels(28))
    shared = shared_gram(store, Pixels(28))
    fresh = Gram.of(Pixels(28).transform(store, ROWS))
    own = np.arange(len(ROWS))
    assert (shared.take(ROWS).nearest(own, own, 3) == fresh.nearest(own, own, 3)).all()


def test_the_threshold_balance_moves_the_threshold_and_nothing_else(noise_set: Path, tmp_path: Path):
    run = rs.compare(
        rs.load(noise_set),
        models=["svm"],
        balance=["none", "threshold"],
        folds=2,
        inner_folds=2,
        out=tmp_path / "r",
    )
    none, moved = (part.sort_values("row") for _, part in run.predictions.groupby("recipe", sort=True))
    assert (none["score"].to_numpy() == moved["score"].to_numpy()).all()
    for (recipe, _, _), rules in run.thresholds.items():
        assert rules["default"] == (rules["youden"] if "threshold" in recipe else 0.0)


@pytest.mark.parametrize(
    ("model", "device"), [("cnn[epochs=1,members=1]", "cpu"), ("cnn[device=auto,epochs=1,members=1]", "auto")]
)
def test_networks_compute_where_the_run_says_unless_their_own_option_says_otherwise(
    model: str, device: str, store: ImageStore
):
    recipe = replace(make_recipes([model], ["none"])[0], device="cpu")
    fitted = recipe.fit(store, ROWS, 0, store.manifest.groups(), validation=np.arange(1, 64, 2))
    assert fitted.detector.device == device and "cpu" not in recipe.id
