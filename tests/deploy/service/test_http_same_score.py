"""The same image gets the same score wherever it is asked for (1e-4)."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

import raresight as rs
from raresight.cli.app import app as commands
from raresight.cli.console import guarded

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
pydicom = pytest.importorskip("pydicom")

from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.uid import ExplicitVRLittleEndian, generate_uid  # noqa: E402
from serving import ask, files, opened_app, post  # noqa: E402

CLOSE = 1e-4


def as_dicom(pixels: np.ndarray) -> bytes:
    """Store grey or RGB bytes as they are, as a secondary capture."""
    colour = pixels.ndim == 3
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", generate_uid()
    dataset.PatientName, dataset.PatientID = "Test^Same", "1"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    dataset["PixelData"].VR = "OB"
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


@pytest.fixture(scope="module")
def expected(made) -> np.ndarray:
    """What the recipe that compare fits says of the set's first images: no graph, no file."""
    return made.refit.fitted.score(made.refit.store, np.arange(6))


@pytest.fixture(scope="module")
def dicoms(pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dicoms")
    for path in sorted(pictures.glob("*.png")):
        (folder / f"{path.stem}.dcm").write_bytes(as_dicom(np.asarray(Image.open(path))))
    return folder


def close(predictions: list[dict], expected: np.ndarray) -> None:
    scores = [one["score"] for one in predictions]
    np.testing.assert_allclose(scores, expected, rtol=0, atol=CLOSE)


def test_predict_says_what_compares_model_does(bundle, pictures, dicoms, expected, capsys):
    for folder in (pictures, dicoms):
        capsys.readouterr()
        assert guarded(commands, ["predict", str(bundle), str(folder), "--json"]) == 0
        close(json.loads(capsys.readouterr().out)["predictions"], expected)


def test_python_says_the_same(bundle, pictures, dicoms, expected):
    predictor = rs.Predictor(bundle)
    for folder in (pictures, dicoms):
        close([one.as_dict() for one in predictor.predict(sorted(folder.iterdir()))], expected)


def test_http_says_the_same(bundle, pictures, dicoms, expected):
    with opened_app(bundle) as app:
        for folder in (pictures, dicoms):
            paths = sorted(folder.iterdir())
            sent = files(*((path.name, path.read_bytes()) for path in paths))
            close(ask(app, "POST", "/v1/predict", files=sent).json()["predictions"], expected)
        raw = [post(app, (dicoms / f"{row}.dcm").read_bytes()).json()["predictions"][0] for row in range(6)]
        close(raw, expected)
