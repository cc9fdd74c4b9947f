from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

import raresight as rs
from raresight.images.likeness import agreement, canvases, detail
from raresight.images.store import build_store
from raresight.images.twins import (
    TwinGroup,
    cluster_twins,
    compare_pixels,
    contradictory_groups,
    find_twins,
    split_patients,
    split_twins,
    twin_groups,
)

LAID = np.ones((1, 2)), np.zeros((1, 2))


def _reencoded(image: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=40)
    return Image.open(stream)


CHANGES = {
    "re-encoded": _reencoded,
    "resized": lambda image: image.resize((130, 130)),
    "brightened": lambda image: image.point(lambda v: min(255, round(1.4 * v))),
    "darkened by a gamma": lambda image: image.point(lambda v: round(255 * (v / 255) ** 1.6)),
    "sharpened": lambda image: image.filter(ImageFilter.UnsharpMask(2, 200, 0)),
    "mirrored": ImageOps.mirror,
    "turned": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "border cropped": lambda image: image.crop((9, 4, 215, 216)),
    "mirrored, resized, re-encoded": lambda image: _reencoded(ImageOps.mirror(image).resize((150, 150))),
}


@pytest.fixture(scope="module", params=["brain", "fundus"])
def store(request: pytest.FixtureRequest):
    return build_store(rs.load(f"phantom:{request.param}?n=80&anomalies=0.3&seed=5"))


def test_planted_copies_are_found_and_patients_stay_apart(store):
    patients = store.manifest.groups()
    rows = [list(patients).index(name) for name in dict.fromkeys(patients)]
    copies = []
    for number, change in enumerate(CHANGES.values()):
        image = Image.fromarray(np.squeeze(store.pixels[rows[number]]))
        made = change(image.convert(image.mode if image.mode == "L" else "RGB")).resize((224, 224))
        copies.append(np.asarray(made).reshape(store.pixels.shape[1:]))
    twins = compare_pixels(np.concatenate([store.pixels, np.stack(copies)]))
    n = len(store)
    found = {name: twins.cluster[n + k] == twins.cluster[rows[k]] for k, name in enumerate(CHANGES)}
    assert all(found.values()), found
    for group in twins.groups():
        assert len(set(patients[group.rows[group.rows < n]])) <= 1


def test_the_same_pixels_are_exact_twins_of_the_first(store):
    pixels = np.concatenate([store.pixels[:20], store.pixels[3:4], store.pixels[3:4]])
    twins = compare_pixels(pixels)
    pairs = [(int(a), int(b)) for (a, b), exact in zip(twins.pairs, twins.exact, strict=True) if exact]
    assert pairs == [(3, 20), (3, 21)]
    assert {tuple(g.rows): g.kind for g in twins.groups()}[3, 20, 21] == "exact"


def test_detail_agrees_whatever_the_contrast_and_not_between_strangers(store):
    first, second = (canvases(np.asarray(store.pixels[row]))[1:] for row in (0, 40))
    assert agreement(detail(first), detail(first), *LAID)[0] > 0.99
    assert agreement(detail(first), detail(0.5 * first + 20), *LAID)[0] > 0.98
    assert agreement(detail(first), detail(second), *LAID)[0] < 0.5


def test_blank_single_and_deep_images_do_no_harm():
    blank = np.zeros((3, 64, 64, 1), np.uint8)
    assert len(np.unique(compare_pixels(blank).cluster)) == 1  # the same pixels
    assert compare_pixels(blank[:1]).cluster.tolist() == [0]
    random = np.random.default_rng(0)
    deep = random.integers(0, 65535, (4, 80, 80, 1)).astype(np.uint16)
    deep[3] = deep[0] // 2
    assert compare_pixels(deep).cluster.tolist() == [0, 1, 2, 0]


def test_a_flat_image_is_no_twin_of_another_flat_one():
    flat = np.stack([np.full((64, 64, 1), level, np.uint8) for level in (10, 90, 200)])
    assert len(np.unique(compare_pixels(flat).cluster)) == 3


def test_what_was_found_is_kept_with_the_store(store, monkeypatch):
    kept = find_twins(store)
    monkeypatch.setattr("raresight.images.twins._search", lambda *_: pytest.fail("searched again"))
    again = find_twins(store)
    assert (kept.cluster == again.cluster).all() and (kept.pairs == again.pairs).all()


def test_a_cluster_past_five_percent_is_reported_and_only_its_exact_twins_merged():
    chain = np.array([(k, k + 1) for k in range(14)])
    exact = np.zeros(14, bool)
    exact[4] = True
    twins = cluster_twins(200, chain, exact, np.ones(14, np.float32))
    (doubted,) = twins.unmerged
    assert doubted.tolist() == list(range(15))
    assert [g.rows.tolist() for g in twins.groups()] == [[4, 5]]
    small = cluster_twins(400, chain, exact, np.ones(14, np.float32))
    assert not small.unmerged and len(small.groups()[0].rows) == 15


def test_groups_are_patients_joined_by_their_twins():
    names = np.array(["a", "a", "b", "c", "c", "d"])
    cluster = np.array([0, 1, 1, 2, 3, 4])
    assert twin_groups(names, cluster).tolist() == ["a", "a", "a", "c", "c", "d"]


def test_contradictions_and_twins_and_patients_across_a_split():
    groups = [TwinGroup(np.array([0, 2]), "exact"), TwinGroup(np.array([1, 3]), "near")]
    labels = np.array(["no", "no", "yes", "no"])
    assert contradictory_groups(groups, labels) == groups[:1]
    pairs = np.array([(0, 2), (1, 3)])
    twins = cluster_twins(4, pairs, np.array([True, False]), np.ones(2, np.float32))
    split = np.array(["train", "test", "test", "test"], object)
    assert split_twins(twins, split) == [(2, 0)]
    patients = np.array(["p", "p", "q", None], object)
    assert split_patients(patients, split) == ["p"]


def test_brain_tumor_yesno_has_its_known_twins(real_data: Path):
    store = build_store(rs.load(real_data / "brain_tumor_yesno", normal=["no"]))
    groups = find_twins(store).groups()
    assert 30 <= len(groups) <= 45
    assert 0.25 < sum(len(g.rows) for g in groups) / len(store) < 0.45
    assert not contradictory_groups(groups, store.manifest.labels)
