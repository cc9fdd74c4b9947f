from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont

import raresight as rs
from raresight.errors import DataError, OptionError
from raresight.evidence.synthesis import share_of_copies, synthesis_quality
from raresight.experiment.synthesis import Synthesis, some_of, synthesise_images
from raresight.report.sheet import COLUMNS, GAP, TEXT, TILE, _fitted, choose_families, write_sheet

BALANCE = ["smote", "smote[neighbours=pca,blend=pixels]", "geometric-smote"]


@pytest.fixture(scope="module")
def found(small_set: Path) -> list[Synthesis]:
    return synthesise_images(rs.load(small_set), BALANCE, quality_in="pixels", seed=0)


def test_each_sampler_says_where_it_sought_and_blended(found: list[Synthesis]):
    spaces = [(s.neighbours, s.blend, len(s.plan)) for s in found]
    assert spaces == [("pixels", "pixels", 16), ("pca", "pixels", 16), ("pixels", "pixels", 16)]
    partners = [s.plan.partner for s in found[:2]]
    assert (found[0].plan.base == found[1].plan.base).all() and (partners[0] != partners[1]).any()


def test_a_family_is_the_parents_and_what_lies_between_them(found: list[Synthesis]):
    families = choose_families(found[0], 5)
    assert len(families) == 5
    plan, images = found[0].plan, found[0].images
    rows = plan.rows(images)
    for family in families:
        assert family.steps == sorted(family.steps) and {0.25, 0.5, 0.75} <= set(family.steps)
        number = [i for i, row in enumerate(rows) if (row == family.children[family.own]).all()]
        assert len(number) == 1 and family.steps[family.own] == plan.step[number[0]]
        assert (family.base == images[plan.base[number[0]]]).all()
        assert (family.partner == images[plan.partner[number[0]]]).all()
        assert family.classes == ("tumour", "tumour")
        middle = family.children[family.steps.index(0.5)].astype(float)
        assert np.abs(middle - (family.base.astype(float) + family.partner) / 2).max() <= 0.5


def test_where_rows_are_on_no_segment_only_the_child_itself_is_shown(found: list[Synthesis]):
    assert all(len(family.children) == 1 for family in choose_families(found[2], 3))


def test_part_of_a_plan_makes_the_same_rows(found: list[Synthesis]):
    for synthesis in found:
        whole = synthesis.plan.rows(synthesis.images)
        some = np.array([7, 2, 2])
        assert (some_of(synthesis.plan, some).rows(synthesis.images) == whole[some]).all()


def test_the_sheet_holds_the_parents_pixels_and_marks_the_child(found: list[Synthesis], tmp_path: Path):
    path = write_sheet(found[:1], tmp_path / "sheet.png", heading="made up", count=3)
    with Image.open(path) as opened:
        sheet = np.asarray(opened)
    assert sheet.shape[1] == COLUMNS * (TILE + GAP) + GAP
    family = choose_families(found[0], 3)[0]
    for image, column in ((family.base, 0), (family.partner, COLUMNS - 1)):
        tile = Image.fromarray(image[..., 0]).resize((TILE, TILE), Image.Resampling.LANCZOS)
        left = GAP + column * (TILE + GAP)
        strip = sheet[:, left : left + TILE, 0]
        places = [np.array_equal(strip[t : t + TILE], np.asarray(tile)) for t in range(len(sheet) - TILE)]
        assert sum(places) == 1
    orange = (sheet == (0xC4, 0x50, 0x0C)).all(axis=2)
    assert orange.sum() > 3 * 4 * TILE


def test_a_long_class_name_does_not_run_into_the_next_image():
    long = _fitted("proliferative_diabetic_retinopathy")
    assert long.endswith("…") and ImageFont.load_default(TEXT).getlength(long) <= TILE
    assert _fitted("glioma") == "glioma"


def test_a_sampler_adds_a_block_and_a_count_rows(found: list[Synthesis], tmp_path: Path):
    sizes = {}
    for blocks, count in ((1, 2), (1, 4), (2, 2), (3, 2)):
        path = write_sheet(found[:blocks], tmp_path / f"{blocks}{count}.png", heading="x", count=count)
        with Image.open(path) as sheet:
            sizes[blocks, count] = sheet.size
    assert sizes[1, 4][0] == sizes[1, 2][0] and sizes[1, 4][1] - sizes[1, 2][1] > 2 * TILE
    assert sizes[2, 2][0] > 2 * sizes[1, 2][0] and sizes[3, 2][1] > 1.8 * sizes[2, 2][1]


@pytest.mark.parametrize(
    ("name", "words"),
    [("a.gif", "ends in .png or .jpg"), ("no/a.png", "does not exist"), (".png", "ends in")],
)
def test_a_file_that_cannot_be_written_is_named(
    found: list[Synthesis], tmp_path: Path, name: str, words: str
):
    with pytest.raises(OptionError, match=words):
        write_sheet(found[:1], tmp_path / name, heading="x")


def test_a_learned_space_shows_the_reconstructed_parents_and_an_embedding_can_lead_to_it(small_set: Path):
    balance = ["latent-smote[steps=3,width=4,latent=4]", "deepsmote[steps=3,width=4,latent=4,penalty=paper]"]
    found = synthesise_images(rs.load(small_set), balance, quality_in="pixels")
    for synthesis in found:
        assert (synthesis.neighbours, synthesis.blend) == ("latent", "latent")
        family = choose_families(synthesis, 1)[0]
        assert family.steps[0] == 0 and family.steps[-1] == 1 and len(family.steps) == 4
        assert family.children[0].shape == family.base.shape == (224, 224, 1)
        assert (family.children[0] != family.base).any()


def test_an_image_drawn_of_its_class_has_no_other_steps(small_set: Path):
    found = synthesise_images(rs.load(small_set), ["gan[steps=2,width=2,latent=4]"], quality_in="pixels")[0]
    family = choose_families(found, 1)[0]
    assert len(family.steps) == len(family.children) == 1 and family.classes == ("tumour", "tumour")


def test_a_limit_keeps_the_classes_in_proportion(small_set: Path):
    found = synthesise_images(rs.load(small_set), ["random-over"], limit=32, quality_in="pixels")[0]
    assert len(found.images) == 32 and (found.labels == "tumour").sum() == 12
    assert found.quality.copies == 1 and found.quality.distance == 0 and found.quality.other_class == 0


def test_imbalance_is_made_before_the_balance(small_set: Path):
    found = synthesise_images(rs.load(small_set), ["smote"], imbalance=5, quality_in="pixels")[0]
    assert (found.labels == "tumour").sum() == 8 and len(found.plan) == 32


@pytest.mark.parametrize(
    ("balance", "words"),
    [
        ("none", "none makes no synthetic image"),
        ("enn", "enn makes no synthetic image"),
        ("class-weight", "class-weight makes no synthetic image"),
        ("smite", "unknown sampler 'smite'; did you mean 'smote'"),
        ("smote[k=3]", "no option 'k'"),
        ("smote[blend=embedding]", "embedding"),
        ("deepsmote[neighbours=embedding]", "has a latent space of its own"),
    ],
)
def test_what_cannot_make_an_image_says_so(small_set: Path, balance: str, words: str):
    from raresight.balance import SAMPLERS

    if balance == "class-weight" and balance not in SAMPLERS:
        pytest.skip("costs are not registered yet")
    with pytest.raises(OptionError, match=words):
        synthesise_images(rs.load(small_set), [balance], quality_in="pixels")


def rows(n: int, centre: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(centre, 1, (n, 3))


def test_rows_drawn_like_the_real_ones_have_density_and_coverage_near_one():
    real, label = np.concatenate([rows(300, 0), rows(300, 50, 1)]), np.repeat([0, 1], 300)
    quality = synthesis_quality(real, label, rows(300, 50, 2), np.ones(300, int))
    assert 0.85 < quality.density < 1.15 and quality.coverage > 0.9
    assert 0.8 < quality.distance < 1.2 and quality.other_class == 0 and quality.rows == 300


def test_one_row_again_and_again_covers_little_and_rows_far_away_nothing():
    real, label = rows(200, 0), np.ones(200, int)
    same = synthesis_quality(real, label, np.repeat(real[:1], 100, axis=0), np.ones(100, int))
    assert same.coverage < 0.15 and same.distance == 0
    far = synthesis_quality(real, label, rows(50, 99), np.ones(50, int))
    assert far.density == far.coverage == 0 and far.distance > 50


def test_density_and_coverage_are_the_papers_equations_worked_by_hand():
    real = np.array([[0.0], [1.0], [3.0], [10.0]])  # to the 2nd nearest: 3, 2, 3, 9
    made = np.array([[2.0], [20.0]])  # inside the balls of 0, 1, 3, 10; of none
    quality = synthesis_quality(real, np.ones(4, int), made, np.ones(2, int), k=2)
    assert quality.density == pytest.approx(4 / (2 * 2)) and quality.coverage == 1
    assert quality.distance == pytest.approx((1 + 10) / 2 / np.median([1, 1, 2, 7]))


def test_rows_beside_another_class_are_counted():
    real, label = np.concatenate([rows(50, 0), rows(50, 20, 1)]), np.repeat([0, 1], 50)
    made = np.concatenate([rows(10, 0, 2), rows(30, 20, 3)])
    assert synthesis_quality(real, label, made, np.ones(40, int)).other_class == 0.25


def test_copies_are_found_by_their_bytes():
    X = np.random.default_rng(0).integers(0, 255, (20, 4, 4, 3), np.uint8)
    near = X[:5].copy()
    near[:, 0, 0, 0] ^= 1
    assert share_of_copies(X, np.concatenate([X[3:8], near])) == 0.5


def test_what_cannot_be_judged_says_so():
    real, label = rows(5, 0), np.array([0, 0, 0, 0, 1])
    with pytest.raises(DataError, match="no synthetic row"):
        synthesis_quality(real, label, real[:0], label[:0])
    with pytest.raises(DataError, match="class 1 has 1 real row"):
        synthesis_quality(real, label, real[:2], np.ones(2, int))


def test_a_class_of_copies_has_no_usual_distance():
    quality = synthesis_quality(np.ones((4, 2)), np.ones(4, int), np.zeros((1, 2)), np.ones(1, int))
    assert quality.as_dict()["distance"] is None and quality.coverage == 0
