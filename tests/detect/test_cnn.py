"""The cnn detector."""

import warnings

import numpy as np
import onnxruntime
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from raresight.balance.costs import Focal
from raresight.detect.cnn import CNN
from raresight.errors import DataError, OptionError
from raresight.networks.rows import read_block

SMALL = {"pixels": 32, "width": 8, "epochs": 6, "batch_size": 8, "learning_rate": 0.01}


def spots(n=40, size=32, channels=1, dtype=np.uint8, seed=0):
    """Noise; in every second image (label 1) with a bright spot somewhere."""
    rng = np.random.default_rng(seed)
    top = np.iinfo(dtype).max
    images = rng.integers(0, top // 3, (n, size, size, channels))
    y = np.arange(n) % 2
    for row in np.flatnonzero(y):
        r, c = rng.integers(2, size - 12, 2)
        images[row, r : r + 10, c : c + 10] += top // 2
    return images.astype(dtype), y


class Lazy:
    """Gives rows only when indexed by an integer array, and remembers how many at most."""

    def __init__(self, images, n_real=None):
        self.images, self.shape, self.dtype, self.most = images, images.shape, images.dtype, 0
        if n_real is not None:
            self.n_real = n_real

    def __len__(self):
        return len(self.images)

    def __getitem__(self, rows):
        assert isinstance(rows, np.ndarray)
        assert rows.dtype == np.int64
        self.most = max(self.most, len(rows))
        return self.images[rows]

    def __array__(self, *args, **kwargs):
        raise AssertionError("the whole must never become an array")


@pytest.fixture(scope="module")
def fitted():
    return CNN(**SMALL).fit(*spots(80))


def test_it_finds_what_is_anomalous(fitted):
    X, y = spots(60, seed=9)
    assert roc_auc_score(y, fitted.decision_function(X)) > 0.9


def test_probabilities_and_calls_agree_with_scores(fitted):
    X, _ = spots(20, seed=9)
    scores, probability = fitted.decision_function(X), fitted.predict_proba(X)
    assert scores.shape == (20,)
    assert probability.shape == (20, 2)
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    np.testing.assert_allclose(np.log(probability[:, 1] / probability[:, 0]), scores, rtol=1e-6)
    assert np.array_equal(fitted.predict(X), (scores > 0).astype(int))
    assert fitted.classes_.tolist() == [0, 1]


def test_the_same_seed_gives_the_same_scores_bit_for_bit():
    X, y = spots()
    first, second, other = (CNN(**SMALL, random_state=s).fit(X, y).decision_function(X) for s in (3, 3, 4))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_no_global_generator_is_touched():
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    CNN(**SMALL | {"epochs": 1}).fit(*spots())
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)


def test_scikit_learn_clones_it():
    detector = CNN(width=8, augmentation="xray", device="cpu")
    assert clone(detector).get_params() == detector.get_params()


def test_images_are_read_batch_by_batch():
    X, y = spots(150)
    train, held = Lazy(X[:120]), Lazy(X[120:])
    detector = CNN(**SMALL | {"epochs": 1}).fit(train, y[:120], validation=(held, y[120:]))
    detector.decision_function(Lazy(X))
    assert 0 < train.most <= 64


def test_lazy_images_give_the_scores_that_an_array_gives():
    X, y = spots()
    array = CNN(**SMALL | {"epochs": 2}).fit(X, y).decision_function(X)
    assert np.array_equal(CNN(**SMALL | {"epochs": 2}).fit(Lazy(X), y).decision_function(Lazy(X)), array)


def test_the_input_is_normalised_by_the_real_training_rows_only():
    X, y = spots(60)
    X[40:50] //= 4
    detector = CNN(**SMALL | {"epochs": 1}).fit(Lazy(X[:50], n_real=40), y[:50], validation=(X[50:], y[50:]))
    normalise = detector.network_.body.members[0][0]
    np.testing.assert_allclose(normalise.mean.item(), X[:40].mean() / 255, rtol=1e-5)
    np.testing.assert_allclose(normalise.std.item(), X[:40].std() / 255, rtol=1e-5)


@pytest.mark.parametrize(("channels", "dtype"), [(3, np.uint8), (1, np.uint16), (3, np.uint16)])
def test_grey_and_colour_of_eight_and_sixteen_bits(channels, dtype):
    X, y = spots(30, channels=channels, dtype=dtype)
    assert np.isfinite(CNN(**SMALL | {"epochs": 1}).fit(X, y).decision_function(X)).all()


def test_hard_labels_and_the_same_as_shares_train_alike():
    X, y = spots()
    hard = CNN(**SMALL | {"epochs": 2}).fit(X[:30], y[:30], validation=(X[30:], y[30:]))
    soft = CNN(**SMALL | {"epochs": 2}).fit(X[:30], np.eye(2)[y[:30]], validation=(X[30:], np.eye(2)[y[30:]]))
    assert np.array_equal(hard.decision_function(X), soft.decision_function(X))


def test_sample_weights_move_the_scores():
    X, y = spots()
    held = spots(20, seed=1)
    plain, heavy = (
        CNN(**SMALL | {"epochs": 3}).fit(X, y, sample_weight=w, validation=held).decision_function(X).mean()
        for w in (None, np.where(y == 1, 10.0, 1.0))
    )
    assert heavy > plain


def test_the_validation_part_is_group_aware_and_holds_both_classes(monkeypatch):
    from raresight.detect import network

    seen = {}

    def spy(network, train, held, **settings):
        seen["train"], seen["held"] = train.images.rows, held.images.rows
        return []

    monkeypatch.setattr(network, "train_network", spy)
    X, y = spots(60)
    groups = np.repeat(np.arange(20), 3)
    CNN(**SMALL).fit(X, y, groups=groups)
    assert not set(groups[seen["train"]]) & set(groups[seen["held"]])
    assert sorted([*seen["train"], *seen["held"]]) == list(range(60))
    assert set(y[seen["held"]]) == set(y[seen["train"]]) == {0, 1}
    assert 0.1 <= len(seen["held"]) / 60 <= 0.25


def test_validation_scores_are_those_of_the_network_that_is_kept():
    X, y = spots()
    detector = CNN(**SMALL).fit(X[:30], y[:30], validation=(X[30:], y[30:]))
    assert np.array_equal(detector.validation_scores_, detector.decision_function(X[30:]))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_exported_to_onnx_it_gives_the_same_logits_from_stored_pixels(tmp_path, dtype):
    X, y = spots(30, size=66, channels=3, dtype=dtype)
    network = CNN(**SMALL | {"epochs": 1}).fit(X, y).network_
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporter warns about itself
        torch.onnx.export(
            network,
            (read_block(X, np.arange(2)),),
            str(tmp_path / "cnn.onnx"),
            input_names=["images"],
            dynamic_shapes=({0: torch.export.Dim("n", min=1)},),
            optimize=False,
            verbose=False,
        )
    session = onnxruntime.InferenceSession(tmp_path / "cnn.onnx", providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].type == f"tensor({np.dtype(dtype).name})"
    found = session.run(None, {"images": X[:7]})[0]
    with torch.no_grad():
        expected = network(read_block(X, np.arange(7))).numpy()
    assert np.abs(found - expected).max() <= 1e-4


def test_its_search_space_draws_settings_that_it_takes():
    optuna = pytest.importorskip("optuna")
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    settings = CNN.search_space(trial)
    assert {"learning_rate", "weight_decay", "width", "dropout"} <= set(settings)
    assert CNN().set_params(**settings).get_params().items() >= settings.items()


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(OptionError, match="no CUDA device"):
        CNN(device="cuda").fit(*spots())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (X[..., 0], y), "images \\(n, height, width, 1 or 3 channels\\)"),
        (lambda X, y: (X.astype(np.float32), y), "uint8 or uint16 images, not float32"),
        (lambda X, y: (X, y[:-1]), "40 images but 39 labels"),
        (lambda X, y: (X, y + 1), "labels must be 0"),
        (lambda X, y: (X, np.full((40, 2), 0.7)), "sum to 1"),
        (lambda X, y: (X, np.zeros(40, int)), "too few groups"),
        (lambda X, y: (X[:, :20, :20], y), "smaller side must keep at least 32"),
    ],
)
def test_data_that_cannot_be_used_are_refused_in_a_sentence(change, message):
    with pytest.raises(DataError, match=message):
        CNN(**SMALL).fit(*change(*spots()))


@pytest.mark.parametrize("weight", [np.ones(3), np.full(40, np.nan), np.full(40, -1.0), np.zeros(40)])
def test_sample_weights_that_cannot_be_used_are_refused(weight):
    with pytest.raises(DataError, match="sample weights"):
        CNN(**SMALL).fit(*spots(), sample_weight=weight)


def test_validation_images_of_another_shape_are_refused():
    X, y = spots()
    with pytest.raises(DataError, match="prepare both alike"):
        CNN(**SMALL).fit(X, y, validation=spots(size=48))


def test_the_score_is_the_mean_over_members_and_mirror_images():
    X, y = spots(40)
    settings = SMALL | {"epochs": 1, "augmentation": "mri"}
    detector = CNN(**settings, members=3).fit(X, y)
    assert {epoch["member"] for epoch in detector.history_} == {0, 1, 2}
    mirrored = np.ascontiguousarray(X[:, :, ::-1])
    np.testing.assert_allclose(detector.decision_function(mirrored), detector.decision_function(X), atol=1e-5)
    upright = CNN(**SMALL | {"epochs": 1, "augmentation": "xray"}).fit(X, y)
    assert np.abs(upright.decision_function(mirrored) - upright.decision_function(X)).max() > 1e-5


def test_a_loss_of_ones_own_is_trained_with():
    X, y = spots(40)
    plain = CNN(**SMALL | {"epochs": 1}).fit(X, y).decision_function(X)
    focal = CNN(**SMALL | {"epochs": 1}, loss=Focal().loss(y)).fit(X, y).decision_function(X)
    assert np.isfinite(focal).all() and (focal != plain).any()


def test_no_member_is_refused():
    with pytest.raises(OptionError, match="members=0"):
        CNN(**SMALL, members=0).fit(*spots(40))
