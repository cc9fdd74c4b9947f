"""The predictor: what it gives, what it needs, and what it makes of bad input."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from conftest import grey
from raresight.deploy.deciders import DECIDERS
from raresight.deploy.inputs import find_files
from raresight.deploy.predictor import Predictor
from raresight.errors import BundleError, OptionError
from raresight.images.stored import as_served, as_stored


@pytest.fixture(scope="module")
def predictor(bundle):
    return Predictor(bundle)


def test_a_prediction_has_the_fields_of_the_contract(predictor, pictures):
    (one,) = predictor.predict(pictures / "0.png")
    found = one.as_dict()
    assert list(found) == ["file", "score", "probability", "decision", "threshold", "milliseconds"]
    assert found["file"] == str(pictures / "0.png")
    assert 0 <= found["probability"] <= 1
    assert found["decision"] in ("anomalous", "normal")
    assert found["milliseconds"] > 0
    json.dumps(found, allow_nan=False)


def test_paths_bytes_and_arrays_are_the_same_image(predictor, pictures):
    path = pictures / "1.png"
    found = predictor.predict([path, str(path), path.read_bytes(), np.asarray(Image.open(path))])
    assert len({one.score for one in found}) == 1
    assert [one.file for one in found] == [str(path), str(path), "bytes 2", "array 3"]


def test_a_threshold_is_a_rule_or_a_number(predictor, pictures):
    path = pictures / "0.png"
    rule = predictor.predict(path, threshold="youden")[0]
    assert rule.threshold == predictor.facts.thresholds["youden"]
    assert predictor.predict(path, threshold=1e6)[0].decision == "normal"
    assert predictor.predict(path, threshold="-1e6")[0].decision == "anomalous"
    for wrong in ("sensitivity=0.5", "nan", "inf"):
        with pytest.raises(
            OptionError, match="has no threshold .* write a number or one of: default, youden"
        ):
            predictor.predict(path, threshold=wrong)


def test_neither_torch_nor_pandas_nor_scipy_is_needed(bundle, pictures):
    code = f"""
import sys
heavy = ("torch", "pandas", "scipy", "sklearn", "onnx", "pyarrow", "matplotlib", "skorch", "monai")
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in heavy:
            raise ImportError(name + " is not installed")
sys.meta_path.insert(0, Absent())
import raresight as rs
found = rs.Predictor({str(bundle)!r}).predict([{str(pictures / "0.png")!r}])
assert found[0].error is None, found
from raresight.cli.app import app
from raresight.cli.console import guarded
status = guarded(app, ["predict", {str(bundle)!r}, {str(pictures / "0.png")!r}, "--json"])
assert status == 0, status
assert not [name for name in heavy if name in sys.modules]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["predictions"][0]["score"] is not None


def bad_files(folder):
    """Write files that cannot be scored, each with what is to be said of it."""
    Image.fromarray(grey()).save(folder / "whole.png")
    whole = (folder / "whole.png").read_bytes()
    Image.fromarray(grey(shape=(40, 40, 3))).save(folder / "colour.png")
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("this is no picture\n" * 20)
    (folder / "text.dcm").write_text("this is no picture\n" * 20)
    huge = bytearray(whole)
    huge[16:24] = (12_000).to_bytes(4, "big") * 2
    (folder / "huge.png").write_bytes(huge)
    return {
        "colour.png": "it is in colour, and the detector was trained on grey images",
        "cut.png": "truncated|damaged",
        "empty.png": "the file is empty",
        "text.png": "called .png but does not hold PNG data",
        "text.dcm": "called .dcm but does not hold DICOM data",
        "huge.png": "12,000 × 12,000 pixels, more than the limit of 100 megapixels|damaged",
        "missing.png": "the file is missing",
    }


def test_bad_files_are_named_and_never_stop_the_others(predictor, tmp_path):
    import re

    expected = bad_files(tmp_path)
    order = ["whole.png", *expected, "whole.png"]
    found = predictor.predict([tmp_path / name for name in order])
    assert [one.file for one in found] == [str(tmp_path / name) for name in order]
    assert found[0].error is None
    assert found[0].score == found[-1].score
    for name, one in zip(order[1:-1], found[1:-1], strict=True):
        assert re.search(expected[name], one.error), (name, one.error)
        assert one.as_dict() == {"file": str(tmp_path / name), "error": one.error}
        assert one.score is one.decision is None
        assert str(tmp_path) not in one.error


def test_more_pixels_than_allowed_are_refused_from_the_header(bundle, tmp_path):
    Image.fromarray(grey(shape=(60, 60))).save(tmp_path / "a.png")
    (one,) = Predictor(bundle, max_pixels=1000).predict(tmp_path / "a.png")
    assert "more than the limit" in one.error


def test_sixteen_bits_are_rounded_to_the_detectors_eight(predictor, tmp_path):
    deep = grey(dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.fromarray(np.rint(deep / 257).astype(np.uint8)).save(tmp_path / "flat.png")
    one, other = predictor.predict([tmp_path / "deep.png", tmp_path / "flat.png"])
    assert one.score == pytest.approx(other.score, abs=0.02)


def test_each_page_of_a_file_is_scored(predictor, tmp_path):
    pages = [Image.fromarray(grey(seed)) for seed in range(3)]
    pages[0].save(tmp_path / "pages.tiff", save_all=True, append_images=pages[1:])
    found = predictor.predict(tmp_path / "pages.tiff")
    assert [one.file.rpartition("/")[2] for one in found] == [f"pages.tiff#{k}" for k in range(3)]
    assert found[2].score == predictor.predict(grey(2))[0].score


def test_a_dicom_file_is_scored(predictor, tmp_path):
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    image = grey()
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.PatientName = "Secret^Name"
    dataset.Rows, dataset.Columns = image.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = image.tobytes()
    dataset.save_as(tmp_path / "image.dcm", enforce_file_format=True)
    one, other = predictor.predict([tmp_path / "image.dcm", image])
    assert one.score == other.score
    assert "Secret" not in str(one.as_dict())


def test_a_score_that_is_no_number_is_an_error(predictor, pictures, monkeypatch):
    monkeypatch.setattr(predictor, "scores", lambda pixels: (np.full(len(pixels), np.nan), None))
    assert predictor.predict(pictures / "0.png")[0].error == "the detector gave no finite score for it"


def test_a_rule_of_the_bundle_may_refer_an_image(changed, pictures, monkeypatch):
    class Dark:
        def __init__(self, settings):
            self.least = settings["least"]

        def measure(self, image):
            return float(image.mean())

        def answer(self, seen, measured):
            assert seen.features.shape == (8,)
            return ("refer", "it is too dark") if measured < self.least else None

    monkeypatch.setitem(DECIDERS._own, "dark", SimpleNamespace(load=lambda: Dark))
    folder = changed(deciders=[{"kind": "dark", "least": 1.0}])
    black, normal = Predictor(folder).predict([np.zeros((30, 30), np.uint8), pictures / "0.png"])
    assert (black.decision, black.reason) == ("refer", "it is too dark")
    assert black.as_dict()["reason"] == "it is too dark"
    assert normal.decision != "refer"


def test_it_tests_itself_on_an_image_that_is_made_up(predictor, changed):
    predictor.self_test()
    with pytest.raises(BundleError, match="fails its self-test"):
        Predictor(changed(self_test={"score": 1e6})).self_test()


def test_heatmaps_that_are_not_there_are_refused(predictor, pictures):
    with pytest.raises(OptionError, match="has no heatmaps"):
        predictor.predict(pictures / "0.png", heat=True)


def test_files_folders_and_patterns_are_found_in_order(tmp_path):
    for name in ("b.png", "a.jpg", "sub/c.tif", ".hidden/d.png", "notes.txt", "labels.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    Image.fromarray(grey()).save(tmp_path / "nameless", format="PNG")

    def names(*named):
        return [
            path.relative_to(tmp_path).as_posix() for path in find_files([str(tmp_path / n) for n in named])
        ]

    assert names("") == ["a.jpg", "b.png", "nameless", "sub/c.tif"]
    assert names("b.png", "a.jpg", "b.png") == ["b.png", "a.jpg"]
    assert names("*.png") == ["b.png"]
    assert names("**/*.tif") == ["sub/c.tif"]
    assert names("gone.png") == ["gone.png"]  # whoever reads it will say so
    for nothing, said in (("*.gif", "no file matches"), (".hidden/x*", "no file matches")):
        with pytest.raises(OptionError, match=said):
            names(nothing)
    (tmp_path / "bare").mkdir()
    with pytest.raises(OptionError, match="holds no image"):
        names("bare")
    with pytest.raises(OptionError, match="name at least one"):
        find_files([])


def test_a_stored_and_a_served_image_are_the_same():
    image = grey()
    assert np.array_equal(as_served(image, 3, np.uint8), as_stored(image, 3, np.uint8))
    assert np.array_equal(as_served(image, 1, np.uint16), image[..., None].astype(np.uint16) * 257)
    assert np.array_equal(as_served(image.astype(np.uint16) * np.uint16(257), 1, np.uint8)[..., 0], image)


def test_features_are_kept_where_they_are_asked_for(predictor, pictures):
    paths = sorted(pictures.glob("*.png"))
    kept, plain = (list(predictor.stream(paths, features=wanted)) for wanted in (True, False))
    expected = predictor.scores(np.stack([predictor.prepare(path) for path in paths]))[1]
    assert expected is not None
    np.testing.assert_allclose(np.stack([one.features for one in kept]), expected, atol=1e-5)
    assert all(one.features is None for one in plain)
    assert [one.as_dict().keys() for one in kept] == [one.as_dict().keys() for one in plain]
