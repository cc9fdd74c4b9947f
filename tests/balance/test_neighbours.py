from __future__ import annotations

import numpy as np
import pytest

from raresight.balance import SMOTE, SMOTEENN, SVMSMOTE, approximate, interpolation, neighbours
from raresight.balance.approximate import Approximate
from raresight.balance.copies import copy_classes
from raresight.balance.features import UnusableRowsError
from raresight.balance.neighbours import Barriers, Computed, Gram
from raresight.balance.tiles import fill_tiles
from raresight.errors import OptionError


def clusters(n: int = 3000, d: int = 24) -> np.ndarray:
    random = np.random.default_rng(0)
    middles = random.normal(size=(20, d))
    return (middles[random.integers(0, 20, n)] + random.normal(0, 0.4, (n, d))).astype(np.float32)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_approximate_neighbours_are_nearly_the_exact_ones_and_say_how_nearly(metric):
    Z = clusters() + 10
    every = np.arange(len(Z))
    finder = Approximate(Z, metric)
    found = finder.nearest(every[:500], every, 5)
    exact = Computed(Z, metric).nearest(every[:500], every, 5)
    recall = np.mean([len(set(a) & set(b)) / 5 for a, b in zip(found, exact, strict=True)])
    assert recall > 0.9 and abs(finder.recall_ - recall) < 0.05
    assert not (found == every[:500, None]).any()


def test_approximate_neighbours_keep_barriers_and_fill_up_exactly():
    Z = clusters(400)
    every = np.arange(400)
    barriers = Barriers((every // 100,))
    found = Approximate(Z).nearest(every, every, 3, barriers)
    assert (found // 100 != (every // 100)[:, None]).all()
    assert (Approximate(Z).nearest(every, every, 3) == Approximate(Z).nearest(every, every, 3)).all()


def test_smote_turns_approximate_above_the_size_only(monkeypatch):
    Z, y = clusters(400), np.r_[np.zeros(300, int), np.ones(100, int)]
    small = SMOTE(random_state=0, neighbours="approximate")
    exact = SMOTE(random_state=0).plan(Z, y)
    assert (small.plan(Z, y).partner == exact.partner).all() and not hasattr(small, "recall_")
    monkeypatch.setattr(interpolation, "ABOVE", 200)
    large = SMOTE(random_state=0, neighbours="approximate")
    plan = large.plan(Z, y)
    assert large.recall_ > 0.9 and (y[plan.partner] == 1).all()
    assert approximate.ABOVE == 20_000


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_copies_are_found_by_their_bytes(dtype):
    Z = np.random.default_rng(0).integers(0, 200, (50, 7, 7)).astype(dtype)
    assert copy_classes(Z, np.arange(50)) is None
    Z[30] = Z[4]
    Z[31] = Z[4]
    Z[32] = Z[4]
    Z[32, 3, 3] += 1
    found = copy_classes(Z, np.arange(50))
    assert found[4] == found[30] == found[31] and len(np.unique(found)) == 48
    assert copy_classes(Z, np.array([3, 4, 5])) is None


def test_a_gram_matrix_is_the_same_in_blocks_of_features_and_of_some_rows():
    Z = np.random.default_rng(0).normal(size=(80, 9000)).astype(np.float32) + 100
    exact = Z.astype(float) - Z.astype(float).mean(axis=0)
    np.testing.assert_allclose(Gram.of(Z).matrix(), exact @ exact.T, atol=0.05)
    rows = np.array([70, 3, 9, 41])
    exact = Z[rows].astype(float) - Z[rows].astype(float).mean(axis=0)
    np.testing.assert_allclose(Gram.of(Z, rows=rows).matrix(), exact @ exact.T, atol=0.05)


def test_slices_of_slices_are_rows_of_the_whole():
    Z = np.random.default_rng(0).normal(size=(40, 5))
    gram = Gram.of(Z)
    outer, inner = np.arange(5, 35), np.array([20, 3, 11])
    assert (gram.take(outer).take(inner).matrix() == gram.matrix()[np.ix_(outer[inner], outer[inner])]).all()
    assert len(gram.take(outer)) == 30


def test_pixels_give_the_neighbours_of_the_same_numbers():
    Z = np.random.default_rng(0).integers(0, 255, (60, 12, 12, 3), np.uint8)
    every = np.arange(60)
    assert (Computed(Z).nearest(every, every, 5) == Computed(Z.astype(float)).nearest(every, every, 5)).all()


def test_computed_distances_serve_later_questions_about_the_same_rows():
    Z = np.random.default_rng(0).normal(size=(60, 5))
    some, every = np.array([50, 4, 17, 33]), np.arange(60)
    near = Computed(Z)
    near.nearest(some, every, 5)
    assert (near.nearest(some[:2], some, 2) == Gram.of(Z).nearest(some[:2], some, 2)).all()


def test_where_there_are_fewer_neighbours_minus_one_stands():
    near = Gram.of(np.arange(6.0).reshape(3, 2)).nearest(np.arange(3), np.arange(3), 4)
    assert (near[:, 2:] == -1).all() and (near[:, :2] >= 0).all()


def test_the_gram_matrix_must_be_of_the_samplers_metric():
    Z, y = clusters(60), np.r_[np.zeros(40, int), np.ones(20, int)]
    with pytest.raises(OptionError, match="metric=cosine"):
        SMOTE().plan(Z, y, gram=Gram.of(Z, metric="cosine"))
    with pytest.raises(OptionError, match="manhattan"):
        Gram.of(Z, metric="manhattan")


def test_a_torch_dataset_has_the_rows_and_labels_of_the_plan():
    import torch

    X = np.random.default_rng(0).integers(0, 255, (40, 6, 6), np.uint8)
    y = np.r_[np.zeros(30, int), np.ones(10, int)]
    plan = SMOTE(random_state=0).plan(X, y)
    loader = torch.utils.data.DataLoader(plan.dataset(X, y=y), batch_size=16)
    rows, labels = zip(*loader, strict=True)
    assert (torch.cat(rows).numpy() == plan.balanced(X)).all() and torch.cat(labels).sum() == 30
    halved = plan.dataset(X, transform=lambda row: row[:3])
    assert halved[41].shape == (3, 6) and len(halved) == 60


def test_memory_mapped_images_are_blended_from_disk(tmp_path):
    X = np.random.default_rng(0).integers(0, 255, (40, 30, 30, 3), np.uint8)
    np.save(tmp_path / "images.npy", X)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    y = np.r_[np.zeros(30, int), np.ones(10, int)]
    plan = SMOTE(random_state=0).plan(mapped, y)
    assert (plan.balanced(mapped) == SMOTE(random_state=0).plan(X, y).balanced(X)).all()


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("rows", [None, np.arange(90, 10, -1)])
def test_a_gram_in_tiles_is_the_gram(metric: str, rows: np.ndarray | None):
    Z = np.random.default_rng(0).integers(0, 255, (100, 12, 25), np.uint8)
    whole = Gram.of(Z, rows=rows, metric=metric).inner
    tiled = np.zeros(whole.shape, np.float32)
    fill_tiles(tiled, Z, rows=rows, metric=metric, tile=32)
    assert np.abs(tiled - whole).max() < 1e-5 * np.abs(whole).max()


def test_a_gram_too_large_for_memory_is_in_a_file_and_plans_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
):
    random = np.random.default_rng(0)
    Z, y = random.normal(size=(300, 40)).astype(np.float32), np.r_[np.zeros(240, int), np.ones(60, int)]
    for sampler in (SMOTEENN(random_state=0), SVMSMOTE(random_state=0), SMOTE(random_state=0)):
        monkeypatch.setattr(neighbours, "IN_MEMORY", 4 << 30)
        plan = sampler.plan(Z, y)
        monkeypatch.setattr(neighbours, "IN_MEMORY", 1000)
        assert isinstance(Gram.of(Z).inner, np.memmap)
        other = sampler.plan(Z, y, gram=Gram.of(Z))
        assert (plan.base == other.base).all() and (plan.partner == other.partner).all()
        assert (plan.keep == other.keep).all()


def test_a_gram_in_tiles_refuses_what_is_not_finite():
    Z = np.ones((20, 5), np.float32)
    Z[7, 2] = np.nan
    with pytest.raises(UnusableRowsError, match="NaN"):
        fill_tiles(np.zeros((20, 20), np.float32), Z, tile=8)
