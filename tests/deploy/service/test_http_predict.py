"""``POST /v1/predict``: the answers, and what is said of bad requests."""

from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from serving import ask, files, held, opened_app, png, post

from conftest import grey
from raresight.deploy.predictor import Predictor

KEYS = ["id", "file", "score", "probability", "decision", "threshold", "milliseconds"]


@pytest.fixture(scope="module")
def app(bundle):
    with opened_app(bundle) as app:
        yield app


@pytest.fixture(scope="module")
def image(pictures):
    return (pictures / "0.png").read_bytes()


def pages(count: int) -> bytes:
    held = io.BytesIO()
    first, *others = [Image.fromarray(grey(seed)) for seed in range(count)]
    first.save(held, "TIFF", save_all=True, append_images=others)
    return held.getvalue()


def problem(answer) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    content = answer.json()
    assert set(content) == {"type", "title", "status", "detail"}
    assert content["status"] == answer.status_code
    return content["detail"]


def test_a_raw_body_is_one_image(app, image):
    (one,) = post(app, image).json()["predictions"]
    assert list(one) == KEYS
    assert one["file"] == "image"


def test_the_answer_is_the_predictors(app, bundle, pictures):
    sent = [(path.name, path.read_bytes()) for path in sorted(pictures.iterdir())]
    answer = ask(app, "POST", "/v1/predict", files=files(*sent)).json()["predictions"]
    expected = Predictor(bundle).predict([content for _, content in sent])
    assert [one["file"] for one in answer] == [name for name, _ in sent]
    for one, other in zip(answer, expected, strict=True):
        assert one["score"] == pytest.approx(other.score, abs=1e-6)
        assert one["probability"] == pytest.approx(other.probability, abs=1e-6)
        assert (one["decision"], one["threshold"]) == (other.decision, other.threshold)


def test_ids_are_opaque_and_never_the_same(app, image):
    answer = ask(app, "POST", "/v1/predict", files=files(*[("same.png", image)] * 3)).json()["predictions"]
    ids = {one["id"] for one in answer}
    assert len(ids) == 3
    assert all(len(id) == 32 and int(id, 16) for id in ids)


def test_the_threshold_may_be_named_or_given(app, image):
    low, high = (
        post(app, image, params={"threshold": value}).json()["predictions"][0] for value in ("-99", "99")
    )
    assert (low["decision"], high["decision"]) == ("anomalous", "normal")
    assert low["score"] == high["score"]
    known = post(app, image, params={"threshold": "youden"}).json()["predictions"][0]
    assert known["threshold"] == app.state.service.engine.opened.predictor.facts.thresholds["youden"]


@pytest.mark.parametrize("value", ["nonsense", "nan", "inf"])
def test_an_unknown_threshold_is_named_with_the_known_ones(app, image, value):
    answer = post(app, image, params={"threshold": value})
    assert answer.status_code == 422
    assert "default" in problem(answer)
    assert value not in answer.text


def test_a_refusing_rule_says_why(bundle, changed, image):
    scores = {name: list(range(-9, 10)) for name in ("normal", "anomalous")}
    alpha = {"normal": 0.2, "anomalous": 0.2}
    rule = {"promise": "image", "alpha": alpha, "scores": scores}
    folder = changed(deciders=[{"kind": "conformal", "conformal": rule}])
    with opened_app(folder) as app:
        (one,) = post(app, image).json()["predictions"]
    assert one["decision"] == "refer"
    assert one["reason"]


def test_one_bad_file_never_stops_the_others(app, image):
    sent = files(("good.png", image), ("cut.png", image[:200]), ("text.txt", b"no image"), ("none.png", b""))
    answer = ask(app, "POST", "/v1/predict", files=sent)
    assert answer.status_code == 200
    good, cut, text, empty = answer.json()["predictions"]
    assert good["decision"]
    assert (cut["file"], cut["error"]["status"]) == ("cut.png", 422)
    assert (text["file"], text["error"]["status"]) == ("text.txt", 415)
    assert (empty["file"], empty["error"]["status"]) == ("none.png", 400)


def test_a_lone_bad_file_is_an_error(app, image):
    assert "truncated" in problem(answer := post(app, image[:200]))
    assert answer.status_code == 422
    assert post(app, b"GIF89a" + image).status_code == 415
    answer = ask(app, "POST", "/v1/predict", files=files(("x.png", b"plain text")))
    assert answer.status_code == 415


def test_an_empty_body_is_named(app):
    assert post(app, b"").status_code == 400
    assert "empty" in problem(ask(app, "POST", "/v1/predict", files=files(("x.png", b""))))


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_that_says_it_is_no_image_is_refused(app, image, kind):
    answer = post(app, image, headers={"content-type": kind})
    assert answer.status_code == 415
    assert "multipart/form-data" in problem(answer)


def test_a_file_of_several_pages_is_scored_page_by_page(app):
    answer = ask(app, "POST", "/v1/predict", files=files(("stack.tif", pages(5))))
    found = answer.json()["predictions"]
    assert [one["file"] for one in found] == [f"stack.tif#{page}" for page in range(5)]
    assert len({one["score"] for one in found}) == 5


def test_too_many_frames_are_refused_before_any_is_decoded(bundle):
    with opened_app(bundle, frames=4) as app:
        answer = post(app, pages(5))
        assert answer.status_code == 413
        assert "5 frames" in problem(answer)
        assert post(app, pages(4)).status_code == 200


def dicom(frames: int, side: int = 16) -> bytes:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7.2"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.PatientName = "Doe^Jane"
    dataset.Rows = dataset.Columns = side
    dataset.NumberOfFrames, dataset.SamplesPerPixel = frames, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = grey(shape=(frames, side, side)).tobytes()
    held = io.BytesIO()
    dataset.save_as(held, enforce_file_format=True)
    return held.getvalue()


def test_dicom_objects_are_scored_frame_by_frame(app):
    (one,) = post(app, dicom(1), headers={"content-type": "application/dicom"}).json()["predictions"]
    assert one["file"] == "image"
    answer = ask(app, "POST", "/v1/predict", files=files(("series.dcm", dicom(40))))
    found = answer.json()["predictions"]
    assert [one["file"] for one in found] == [f"series.dcm#{frame}" for frame in range(40)]
    assert "Doe" not in answer.text


def test_ten_thousand_frames_are_refused(app):
    answer = post(app, dicom(10_000), headers={"content-type": "application/dicom"})
    assert answer.status_code == 413
    assert "10,000 frames" in problem(answer)
    assert app.state.service.engine.pending == 0


def test_too_many_images_are_refused(bundle, image):
    with opened_app(bundle, images=2) as app:
        assert ask(app, "POST", "/v1/predict", files=files(*[("a.png", image)] * 2)).status_code == 200
        answer = ask(app, "POST", "/v1/predict", files=files(*[("a.png", image)] * 3))
        assert answer.status_code == 413
        assert "2 images" in problem(answer)


def test_a_body_that_is_too_large_is_refused(bundle, image):
    with opened_app(bundle, body_bytes=len(image)) as app:
        assert post(app, image).status_code == 200
        answer = post(app, image + b"x")
        assert answer.status_code == 413
        assert "MB" in problem(answer)
        assert ask(app, "POST", "/v1/predict", files=files(("a.png", image))).status_code == 413

        async def without_a_length():
            yield image
            yield b"x"

        assert post(app, without_a_length()).status_code == 413
        assert app.state.service.room.held == 0


def test_all_bodies_together_have_a_limit_too(bundle, image):
    with opened_app(bundle, body_bytes=len(image), bodies=1) as app:
        room = app.state.service.room
        room.take(1)
        answer = post(app, image)
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) > 0
        room.give(1)
        assert post(app, image).status_code == 200


def test_an_image_with_too_many_pixels_is_refused(bundle, tmp_path):
    with opened_app(bundle, max_pixels=40 * 40) as app:
        assert post(app, png(grey(), tmp_path / "a.png")).status_code == 200
        answer = post(app, png(grey(shape=(40, 41)), tmp_path / "b.png"))
        assert answer.status_code == 422
        assert "limit" in problem(answer)


def test_names_come_back_without_folders_and_control_characters(app, image):
    names = {
        "../../etc/passwd": "passwd",
        "C:\\patients\\Müller.png": "Müller.png",
        "/": "image",
        "x" * 999: "x" * 200,
    }
    sent = files(*[(name, image) for name in names])
    answer = ask(app, "POST", "/v1/predict", files=sent).json()["predictions"]
    assert [one["file"] for one in answer] == list(names.values())


def test_colour_is_refused_by_a_detector_of_grey_images(app, tmp_path):
    colour = np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8)
    answer = post(app, png(colour, tmp_path / "c.png"))
    assert answer.status_code == 422
    assert "colour" in problem(answer)


def test_a_slow_answer_is_given_up(bundle, image):
    with opened_app(bundle, timeout=0.4) as app:
        with held(app.state.service.engine):
            answer = post(app, image)
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert post(app, image, params={}).status_code == 200


def test_probabilities_rise_with_scores(app, pictures):
    sent = files(*[(path.name, path.read_bytes()) for path in sorted(pictures.iterdir())])
    found = ask(app, "POST", "/v1/predict", files=sent).json()["predictions"]
    ranked = sorted((one["score"], one["probability"]) for one in found)
    assert all(a[1] <= b[1] for a, b in pairwise(ranked))
