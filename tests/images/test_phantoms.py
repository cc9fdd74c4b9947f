from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage, stats
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

from raresight.errors import OptionError
from raresight.images.manifest import make_manifest
from raresight.images.phantoms import LESION_KINDS, PhantomSource, load_phantom, parse_spec
from raresight.images.phantoms.cohort import make_cohort
from raresight.images.phantoms.lesions import LUMA, PAINTS, borders, sizes

KINDS = ["brain", "fundus"]


def brightness(image: NDArray[np.floating]) -> NDArray[np.floating]:
    return image if image.ndim == 2 else image @ LUMA


def anomalous(table: pd.DataFrame) -> list[int]:
    return table.index[table["label"] == "anomalous"].tolist()


def source_of(spec: str) -> tuple[pd.DataFrame, PhantomSource]:
    table, source = load_phantom(spec)
    assert isinstance(source, PhantomSource)
    return table, source


# ---------------------------------------------------------------- the specification


def test_a_bare_kind_takes_the_documented_defaults() -> None:
    spec = parse_spec("phantom:fundus")
    assert (spec.n, spec.anomalies, spec.difficulty, spec.seed, spec.size) == (600, 0.1, 0.5, 0, 224)
    assert spec == parse_spec("phantom:fundus?n=600&anomalies=0.1&difficulty=0.5&seed=0&size=224")


@pytest.mark.parametrize("kind", KINDS)
def test_a_specification_written_out_reads_back(kind: str) -> None:
    spec = parse_spec(f"phantom:{kind}?n=7&anomalies=0.25&difficulty=0.3&seed=5&size=96&slices=2")
    assert parse_spec(spec.text) == spec


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("phantom:knee", "unknown phantom 'knee'"),
        ("phantom:", "there are: brain, fundus"),
        ("brain", "write phantom:brain"),
        ("phantom:brain?dificulty=1", "did you mean 'difficulty'"),
        ("phantom:brain?colour=red", "there are: n,"),
        ("phantom:brain?n=ten", "a whole number from 2"),
        ("phantom:brain?n=1.5", "a whole number from 2"),
        ("phantom:brain?n=1", "n=1 "),
        ("phantom:brain?n", "n= "),
        ("phantom:brain?anomalies=1.1", "a number from 0 to 1"),
        ("phantom:brain?difficulty=-0.1", "a number from 0 to 1"),
        ("phantom:brain?difficulty=nan", "difficulty=nan"),
        ("phantom:brain?seed=-1", "seed=-1"),
        ("phantom:brain?size=8", "from 64 to 1024"),
        ("phantom:brain?n=10&n=20", "n stands twice"),
        ("phantom:fundus?slices=3", "at most 2 eyes"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(text: str, said: str) -> None:
    with pytest.raises(OptionError, match=re.escape(said)) as caught:
        load_phantom(text)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- the table


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    n=st.integers(2, 300),
    anomalies=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
    slices=st.sampled_from(["", "&slices=1", "&slices=2"]),
)
def test_the_number_of_anomalies_is_exact_whatever_is_asked(
    kind: str, n: int, anomalies: float, seed: int, slices: str
) -> None:
    table = load_phantom(f"phantom:{kind}?n={n}&anomalies={anomalies!r}&seed={seed}{slices}")[0]
    assert len(table) == n
    assert len(anomalous(table)) == round(n * anomalies)
    assert table["file"].is_unique
    assert (table["lesion_kind"].notna() == (table["label"] == "anomalous")).all()


def test_patients_keep_their_slices_and_some_show_both_labels() -> None:
    table = load_phantom("phantom:brain?n=400&anomalies=0.3")[0]
    groups = table.groupby("group")
    assert (groups.size() == 4).all()
    assert table.loc[4:7, "file"].tolist() == [f"brain-00001-s{i}" for i in range(4)]
    assert (groups["label"].nunique() == 2).sum() > 20
    assert (groups["lesion_kind"].nunique() <= 1).all()


def test_eyes_are_one_or_two_a_patient_and_as_often_left_as_right() -> None:
    table = load_phantom("phantom:fundus?n=600")[0]
    per_patient = table.groupby("group").size()
    assert set(per_patient) == {1, 2}
    left = table["file"].str.endswith("-left")
    assert (left | table["file"].str.endswith("-right")).all()
    assert 0.45 < left.mean() < 0.55


@pytest.mark.parametrize("kind", KINDS)
def test_at_least_half_of_each_kind_is_meant_to_lie_near_a_border(kind: str) -> None:
    table = load_phantom(f"phantom:{kind}?n=600&anomalies=0.3")[0]
    shares = (table["lesion_place"] == "border").groupby(table["lesion_kind"]).mean()
    assert set(shares.index) == set(LESION_KINDS[kind])
    assert shares.between(0.5, 0.7).all()


def test_no_slice_position_shows_lesions_more_often_than_another() -> None:
    table = load_phantom("phantom:brain?n=20000&anomalies=0.3")[0]
    rates = (table["label"] == "anomalous").groupby(table["file"].str[-1]).mean()
    assert rates.max() - rates.min() < 0.04


@pytest.mark.parametrize("kind", KINDS)
def test_age_sex_and_site_do_not_tell_the_label(kind: str) -> None:
    table = load_phantom(f"phantom:{kind}?n=20000&anomalies=0.3")[0]
    # One row a patient: slices of one patient are no independent evidence.
    patient = (
        table.assign(ill=table["label"] == "anomalous")
        .groupby("group")
        .agg({"ill": "max", "age": "first", "sex": "first", "site": "first"})
    )
    assert (
        stats.ks_2samp(patient.loc[patient["ill"], "age"], patient.loc[~patient["ill"], "age"]).pvalue > 0.01
    )
    for column in ("sex", "site"):
        assert stats.chi2_contingency(pd.crosstab(patient["ill"], patient[column])).pvalue > 0.01


# ---------------------------------------------------------------- the images


@pytest.mark.parametrize(("kind", "shape"), [("brain", (224, 224)), ("fundus", (224, 224, 3))])
def test_images_have_the_promised_shape_and_a_dark_background(kind: str, shape: tuple[int, ...]) -> None:
    table, source = source_of(f"phantom:{kind}?n=12&anomalies=0.5")
    for row in range(len(table)):
        image = source.read(row)
        assert image.shape == shape
        assert image.dtype == np.uint8
        assert image[:4, :4].max() < 40
        assert 60 < brightness(image)[80:144, 80:144].mean() < 220


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_the_same_in_any_order_and_from_threads(kind: str) -> None:
    spec = f"phantom:{kind}?n=12&anomalies=0.5&size=96"
    forwards = [source_of(spec)[1].read(row) for row in range(12)]
    _, shared = source_of(spec)
    with ThreadPoolExecutor(4) as pool:
        backwards = list(pool.map(shared.read, range(11, -1, -1)))[::-1]
    assert all(np.array_equal(a, b) for a, b in zip(forwards, backwards, strict=True))
    assert len({image.tobytes() for image in forwards}) == 12


@pytest.mark.parametrize("kind", KINDS)
def test_difficulty_changes_lesions_and_nothing_else(kind: str) -> None:
    easy_table, easy = source_of(f"phantom:{kind}?n=24&anomalies=0.5&difficulty=0&size=96")
    hard_table, hard = source_of(f"phantom:{kind}?n=24&anomalies=0.5&difficulty=1&size=96")
    assert (easy_table["label"] == hard_table["label"]).all()
    for row, label in enumerate(easy_table["label"]):
        assert np.array_equal(easy.read(row), hard.read(row)) == (label == "normal")


@pytest.mark.parametrize("kind", KINDS)
def test_a_lesion_leaves_everything_outside_the_organ_alone(kind: str) -> None:
    table, source = source_of(f"phantom:{kind}?n=60&anomalies=0.5&difficulty=0&size=96")
    for row in anomalous(table):
        scene = source.scene(row)
        changed = source.painted(row) != scene.clean
        assert not (changed if changed.ndim == 2 else changed.any(axis=2))[scene.tissue == 0].any()


@pytest.mark.parametrize("kind", KINDS)
def test_digests_tell_rows_and_specifications_apart_and_stay_the_same(kind: str) -> None:
    specs = [f"phantom:{kind}?n=20&seed={seed}&size={size}" for seed in (0, 1) for size in (64, 96)]
    digests = [source_of(spec)[1].digest(row) for spec in specs for row in range(20)]
    assert len(set(digests)) == len(digests)
    assert digests[:20] == [source_of(specs[0])[1].digest(row) for row in range(20)]


def test_a_phantom_makes_a_manifest_without_a_word_about_what_is_normal() -> None:
    manifest = make_manifest(*load_phantom("phantom:brain?n=40&anomalies=0.2&size=64"), "phantom:brain")
    assert manifest.normal == ("normal",)
    assert manifest.y.sum() == 8
    picked = manifest.take([5, 3])
    assert np.array_equal(picked.read(0), manifest.read(5))


def test_slices_of_one_patient_are_more_alike_than_those_of_two() -> None:
    _, source = source_of("phantom:brain?n=40&size=96")
    shown = [ndimage.gaussian_filter(source.scene(row).clean, 1).ravel() for row in range(40)]
    alike = np.corrcoef(shown)
    own = np.mean([alike[row, row + 1] for row in range(0, 40, 4)])
    other = np.mean([alike[row, row + 4] for row in range(0, 36, 4)])
    assert own > other + 0.1


def test_the_macula_lies_on_the_side_that_the_file_name_says() -> None:
    table, source = source_of("phantom:fundus?n=30&size=96")
    for row, file in enumerate(table["file"]):
        tissue = source.scene(row).tissue
        disc, macula = (np.nonzero(tissue == code)[1].mean() for code in (3, 4))
        assert (macula > disc) == file.endswith("left")


# ---------------------------------------------------------------- the lesions


def test_sizes_and_contrasts_meet_their_fixed_points_and_fall_between() -> None:
    promised = {0: ((0.25, 0.25), (1, 1)), 0.5: ((0.06, 0.14), (0.15, 0.35)), 1: ((0.03, 0.03), (0.05, 0.05))}
    for difficulty, ranges in promised.items():
        assert np.allclose(sizes(difficulty), ranges)
    steps = np.array([sizes(d) for d in np.linspace(0, 1, 21)])
    assert (np.diff(steps, axis=0) < 0).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("difficulty", [0, 0.5, 1])
def test_masks_have_the_stated_diameter_and_normals_have_none(kind: str, difficulty: float) -> None:
    table, source = source_of(f"phantom:{kind}?n=60&anomalies=0.3&difficulty={difficulty}")
    low, high = sizes(difficulty)[0]
    for row in anomalous(table):
        said = table.loc[row, "lesion_diameter"]
        measured = 2 * np.sqrt(source.mask(row).sum() / np.pi) / 224
        assert low - 1e-9 <= said <= high + 1e-9
        # A cluster's specks cover about half of their patch.
        cluster = table.loc[row, "lesion_kind"] == "hard-exudates"
        assert (0.45 if cluster else 0.94) * said < measured < 1.06 * said
    normal = table.index[table["label"] == "normal"][0]
    assert source.mask(normal).shape == (224, 224)
    assert not source.mask(normal).any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("difficulty", [0.5, 1])
def test_contrast_without_noise_is_as_stated_in_sign_and_size(kind: str, difficulty: float) -> None:
    table, source = source_of(f"phantom:{kind}?n=50&anomalies=0.4&difficulty={difficulty}")
    for row in anomalous(table):
        mask, lesion = source.mask(row), table.loc[row]
        before = brightness(source.scene(row).clean)[mask]
        change = (brightness(source.painted(row))[mask] - before) / before.mean()
        if PAINTS[lesion["lesion_kind"]].form == "ring":
            # The rim's edge is soft and the fold under it is smoothed: its middle is what counts.
            depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1][mask]
            if difficulty == 0.5:
                assert change[depth > 0.6 * depth.max()].mean() < -0.5 * lesion["lesion_contrast"]
                assert change[depth < 0.25 * depth.max()].mean() > 0.5 * lesion["lesion_contrast"]
        else:
            stated = PAINTS[lesion["lesion_kind"]].sign * lesion["lesion_contrast"]
            assert change.mean() == pytest.approx(stated, rel=0.12)


@pytest.mark.parametrize("kind", KINDS)
def test_lesions_stand_out_from_the_ring_around_them_by_what_was_stated(kind: str) -> None:
    table, source = source_of(f"phantom:{kind}?n=80&anomalies=0.4")
    found: dict[str, list[float]] = {}
    for row in anomalous(table):
        found.setdefault(table.loc[row, "lesion_kind"], []).append(
            stand_out(source.painted(row), source.mask(row), source.scene(row).tissue)
            / table.loc[row, "lesion_contrast"]
        )
    for name, ratios in found.items():
        if PAINTS[name].form != "ring":
            assert 0.6 < PAINTS[name].sign * float(np.median(ratios)) < 1.6, name


@pytest.mark.parametrize("kind", KINDS)
def test_lesions_planned_near_a_border_are_there(kind: str) -> None:
    table, source = source_of(f"phantom:{kind}?n=50&anomalies=0.4")
    for row in anomalous(table):
        if table.loc[row, "lesion_place"] == "border":
            centre = tuple(round(c) for c in ndimage.center_of_mass(source.mask(row)))
            away = ndimage.distance_transform_edt(~borders(source.scene(row).tissue))[centre]
            # The mask's centre of mass may lie a little off the centre that was placed.
            assert away <= 0.7 * table.loc[row, "lesion_diameter"] * 112 + 1


def test_a_patients_lesion_stays_near_its_place_from_slice_to_slice() -> None:
    table, source = source_of("phantom:brain?n=120&anomalies=0.3")
    moved = []
    for _, slices in table[table["label"] == "anomalous"].groupby("group"):
        centres = [ndimage.center_of_mass(source.mask(row)) for row in slices.index]
        moved += [np.hypot(*np.subtract(a, b)) / 224 for a, b in pairwise(centres)]
    assert np.median(moved) < 0.06


# ---------------------------------------------------------------- no shortcut, but learnable


def stand_out(image: NDArray[np.floating], mask: NDArray[np.bool_], tissue: NDArray[np.int8]) -> float:
    """Mean brightness in the mask against a ring around it, within the organ, as a fraction."""
    near = ndimage.binary_dilation(mask, iterations=1)
    ring = ndimage.binary_dilation(mask, iterations=4) & ~near & (tissue > 0)
    seen = brightness(image)
    return float(seen[mask].mean() / seen[ring].mean() - 1)


def probe(features: NDArray[np.floating], y: NDArray[np.int64], groups: pd.Series) -> float:
    booster = HistGradientBoostingClassifier(max_iter=25, max_leaf_nodes=6, max_bins=32, random_state=0)
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    scores = cross_val_predict(booster, features, y, groups=groups, cv=folds, method="predict_proba")
    return float(roc_auc_score(y, scores[:, 1]))


def grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(image).convert("L"))


def histogram(seen: NDArray[np.uint8]) -> NDArray[np.floating]:
    return np.histogram(seen, 32, (0, 256))[0].astype(np.float32)


def border(seen: NDArray[np.uint8]) -> NDArray[np.floating]:
    outside = seen < 20
    return np.concatenate([outside.mean(0)[::2], outside.mean(1)[::2]]).astype(np.float32)


def background(seen: NDArray[np.uint8]) -> NDArray[np.floating]:
    outside = np.where(seen < 20, seen, 0).astype(np.float32)
    return outside.reshape(8, 8, 8, 8).mean((1, 3)).ravel()


@pytest.mark.parametrize("kind", KINDS)
def test_border_background_and_histogram_do_not_tell_the_label(kind: str) -> None:
    table, source = source_of(f"phantom:{kind}?n=600&anomalies=0.3&size=64")
    y = (table["label"] == "anomalous").to_numpy(np.int64)
    shown = [grey(source.read(row)) for row in range(len(table))]
    for features in (border, background, histogram):
        found = probe(np.stack([features(seen) for seen in shown]), y, table["group"])
        assert found <= 0.60, f"{features.__name__}: {found:.3f}"


@pytest.mark.parametrize("kind", KINDS)
def test_the_histogram_probe_does_find_the_easiest_lesions(kind: str) -> None:
    table, source = source_of(f"phantom:{kind}?n=240&anomalies=0.4&size=64&difficulty=0")
    y = (table["label"] == "anomalous").to_numpy(np.int64)
    features = np.stack([histogram(grey(source.read(row))) for row in range(len(table))])
    assert probe(features, y, table["group"]) > 0.7


@pytest.mark.parametrize("kind", KINDS)
def test_lesions_can_be_found_in_the_noisy_image_by_who_knows_where_to_look(kind: str) -> None:
    table, source = source_of(f"phantom:{kind}?n=90&anomalies=0.4")
    found: dict[str, tuple[list[float], list[float]]] = {}
    normal = table.index[table["label"] == "normal"].tolist()
    for turn, row in enumerate(anomalous(table)):
        paint = PAINTS[table.loc[row, "lesion_kind"]]
        if paint.form == "ring":
            continue
        ill, well = found.setdefault(table.loc[row, "lesion_kind"], ([], []))
        mask = source.mask(row)
        for scores, where in ((ill, row), (well, normal[turn])):
            tissue = source.scene(where).tissue
            inside = mask & (tissue > 0)
            if inside.sum() > mask.sum() / 2:
                scores.append(paint.sign * stand_out(source.read(where).astype(np.float32), inside, tissue))
    for name, (ill, well) in found.items():
        truth = np.repeat([1, 0], [len(ill), len(well)])
        assert roc_auc_score(truth, ill + well) > 0.8, name


def test_make_cohort_gives_the_table_its_rows_in_order() -> None:
    cohort = make_cohort(parse_spec("phantom:fundus?n=50&anomalies=0.2"))
    kinds = [lesion.kind if lesion else None for _, _, lesion in cohort.rows]
    assert [k if isinstance(k, str) else None for k in cohort.table["lesion_kind"]] == kinds
