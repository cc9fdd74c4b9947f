from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from planted import SHORTCUTS, images, plain
from sklearn.metrics import roc_auc_score

import raresight as rs
from raresight.audit import PROBES
from raresight.audit.facts import FileFacts, file_facts
from raresight.audit.model import Judge
from raresight.audit.probes import pixel_features
from raresight.audit.view import View
from raresight.errors import OptionError
from raresight.images.splits import stratified_group_folds
from raresight.images.store import build_store


def auroc(X: np.ndarray, y: np.ndarray, groups: np.ndarray | None = None) -> float:
    groups = np.arange(len(y)).astype(str) if groups is None else groups
    judge = Judge(y, groups, stratified_group_folds(y, groups, 5, 0))
    return float(roc_auc_score(y, judge.boosted(X)[:, 1]))


def seen_by(probe: str, shown: np.ndarray) -> np.ndarray:
    see = PROBES[probe].load()
    return np.stack([see(View(image)) for image in shown])


@pytest.mark.parametrize("probe", SHORTCUTS)
def test_each_probe_finds_what_was_planted_for_it(probe: str):
    shown, y = images(SHORTCUTS[probe])
    assert auroc(seen_by(probe, shown), y) >= 0.9


@pytest.mark.parametrize("probe", SHORTCUTS)
def test_each_probe_is_quiet_where_nothing_was_planted(probe: str):
    shown, y = images(plain)
    assert 0.35 <= auroc(seen_by(probe, shown), y) <= 0.65


def test_the_border_sees_no_brightness():
    brighter, y = images(SHORTCUTS["histogram"])
    assert auroc(seen_by("border", brighter), y) <= 0.65


def test_features_of_colour_and_sixteen_bits_are_finite_and_of_one_length():
    random = np.random.default_rng(0)
    for probe in SHORTCUTS:
        lengths = set()
        for image in (
            np.zeros((64, 64, 3), np.uint8),
            np.full((64, 64, 3), 255, np.uint8),
            random.integers(0, 65536, (64, 64, 3)).astype(np.uint16),
        ):
            features = PROBES[probe].load()(View(image))
            assert np.isfinite(features).all(), probe
            lengths.add(len(features))
        assert len(lengths) == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["brain", "fundus"])
def test_phantoms_hold_no_shortcut(kind: str):
    store = build_store(rs.load(f"phantom:{kind}?n=600&anomalies=0.3&size=64"))
    found = pixel_features(store)
    for probe in ("border", "background", "histogram"):
        value = auroc(found[probe], store.manifest.y, store.manifest.groups())
        assert value <= 0.60, f"{probe}: {value:.3f}"


# ---------------------------------------------------------------- files


def written(folder, save) -> rs.Manifest:
    """Write 60 noise images of two classes, each saved as `save` does."""
    random = np.random.default_rng(2)
    for i in range(60):
        ill = i % 2 == 1
        place = folder / ("ill" if ill else "normal")
        place.mkdir(exist_ok=True)
        save(Image.fromarray(random.integers(0, 255, (32, 32), np.uint8)), place / f"{i:02d}", ill)
    return rs.load(folder)


PLANTED = {
    "format": lambda image, path, ill: image.save(f"{path}.{'jpg' if ill else 'png'}"),
    "size": lambda image, path, ill: image.resize((40, 32) if ill else (32, 32)).save(f"{path}.bmp"),
    "mode": lambda image, path, ill: image.convert("RGB" if ill else "L").save(f"{path}.png"),
    "quantisation": lambda image, path, ill: image.save(f"{path}.jpg", quality=60 if ill else 80),
}


@pytest.mark.parametrize("fact", PLANTED)
def test_file_facts_find_another_format_size_mode_or_compression(fact: str, tmp_path):
    manifest = written(tmp_path, PLANTED[fact])
    assert auroc(FileFacts().features(manifest), manifest.y) >= 0.99


def test_file_facts_are_quiet_where_files_are_alike(tmp_path):
    manifest = written(tmp_path, lambda image, path, ill: image.save(f"{path}.png"))
    assert auroc(FileFacts().features(manifest), manifest.y) <= 0.65


def test_what_a_jpeg_header_says(tmp_path):
    path = tmp_path / "a.jpg"
    Image.new("RGB", (20, 10)).save(path, quality=75, progressive=True)
    facts = file_facts(path)
    assert facts["format"] == "jpeg" and facts["mode"] == "RGB" and facts["layers"] == 3
    assert (facts["width"], facts["height"], facts["bytes"]) == (20, 10, path.stat().st_size)
    # Annex K's luminance table at quality 75: half of each entry, rounded.
    assert facts["quantisation 0 first"] == 8 and facts["progressive"]


def test_what_a_dicom_header_says(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    path = pydicom.data.get_testdata_file("CT_small.dcm")
    facts = file_facts(Path(path))
    assert (facts["width"], facts["height"]) == (128, 128)
    assert facts["format"] == "dicom" and "MONOCHROME2" in facts["mode"]


def test_columns_are_added_and_gaps_stay_gaps(planted_set):
    images = rs.load(planted_set)
    table = FileFacts(["patient", "scanner"]).features(images)
    assert table.shape[0] == len(images)
    assert np.isnan(table[images.table["patient"].isna(), -2]).all() and set(table[:, -1]) == {0.0, 1.0}


@pytest.mark.parametrize("column", ["label", "file", "scaner"])
def test_a_column_that_is_not_there_or_gives_the_answer_away_is_refused(planted_set, column: str):
    with pytest.raises(OptionError, match=r"there are: patient, split, scanner, site") as caught:
        rs.audit_images(rs.load(planted_set), probe=[column])
    assert column in str(caught.value)


def test_a_fact_that_no_training_file_of_a_fold_has_is_left_out():
    y = np.arange(60) % 2
    groups = np.arange(60).astype(str)
    fold = np.arange(60) // 2 % 5
    rare = np.where(fold == 3, 1.0, np.nan)
    X = np.column_stack([y + 0.0, rare, np.full(60, np.nan)]).astype(np.float32)
    judge = Judge(y, groups, fold, 0)
    assert (judge.boosted(X).argmax(axis=1) == y).mean() > 0.9
    assert np.allclose(judge.boosted(X[:, 2:]), 0.5, atol=0.1)
