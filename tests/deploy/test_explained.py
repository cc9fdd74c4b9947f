"""What a person is shown of one image."""

from __future__ import annotations

import asyncio
import base64
import io

import httpx
import numpy as np
import pytest
from PIL import Image

import raresight as rs
from raresight.deploy.explained import Background, explain_one
from raresight.deploy.service.app import create_app
from raresight.deploy.service.schemas import Explanation
from raresight.deploy.service.settings import ServiceSettings
from raresight.errors import ImageError


def png(pixels: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format=kind, **options)
    return stream.getvalue()


def samples(image: dict) -> np.ndarray:
    kind = "<u2" if image["bits"] == 16 else "u1"
    values = np.frombuffer(base64.b64decode(image["data"]), kind)
    return values.reshape(image["height"], image["width"], image["channels"])


@pytest.fixture(scope="module")
def predictor(bundle):
    return rs.Predictor(bundle)


@pytest.fixture(scope="module")
def explained(predictor):
    background = Background(predictor.files)
    return lambda source: explain_one(predictor, background, "x", source, 0, 0.0)


class Client:
    """Asks an application without a server."""

    def __init__(self, app: object) -> None:
        self._transport = httpx.ASGITransport(app)

    def ask(self, method: str, path: str, **options: object) -> httpx.Response:
        async def asked() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url="http://localhost") as client:
                return await client.request(method, path, **options)

        return asyncio.run(asked())

    def get(self, path: str, **options: object) -> httpx.Response:
        return self.ask("GET", path, **options)

    def post(self, path: str, **options: object) -> httpx.Response:
        return self.ask("POST", path, **options)


@pytest.fixture(scope="module")
def client(bundle):
    app = create_app(ServiceSettings(bundle, threads=1))
    yield Client(app)
    app.state.service.engine.close()


def test_the_prediction_is_that_of_predict(explained, predictor, pictures):
    path = pictures / "0.png"
    (plain,) = predictor.predict(path, threshold=0.0)
    found = explained(path.read_bytes())
    assert found.prediction.score == plain.score and found.prediction.decision == plain.decision
    assert found.rest["standing"]["normal_as_high"] is not None
    assert found.rest["nearest"][0]["distance"] < 0.02


def test_the_image_has_the_detectors_geometry_and_the_files_pixels(explained, predictor, images):
    raw = images.read(0)
    found = explained(png(raw)).rest["image"]
    side = max(predictor.facts.preprocess.size, *raw.shape[:2])
    assert (found["width"], found["height"], found["bits"]) == (side, side, 8)
    seen = predictor.prepare(raw)[..., 0].astype(float)
    shown = np.asarray(Image.fromarray(samples(found)[..., 0]).resize(seen.shape, Image.Resampling.BILINEAR))
    assert np.abs(shown - seen).mean() < 2


def test_16_bits_stay_16_bits_with_a_window_over_what_occurs(explained):
    raw = np.random.default_rng(0).integers(1000, 3000, (300, 200)).astype(np.uint16)
    found = explained(png(raw)).rest["image"]
    values = samples(found)
    assert found["bits"] == 16 and values.max() > 255
    assert found["window"] == {"low": float(values.min()), "high": float(values.max())}
    assert found["windowed"] is False


def test_large_images_are_shown_smaller(explained):
    raw = np.zeros((1500, 900), np.uint8)
    raw[100:1400, 100:800] = 200
    assert explained(png(raw)).rest["image"]["width"] == 1024


def test_what_cannot_be_read_is_refused(explained):
    with pytest.raises(ImageError, match="truncated"):
        explained(png(np.zeros((40, 40), np.uint8))[:-30])


def test_the_route_answers_as_the_contract_says(client, pictures):
    content = (pictures / "2.png").read_bytes()
    answer = client.post("/v1/explain", files={"file": ("Doe/2.png", content)}).json()
    assert set(answer) == {"prediction", "image", "heat", "standing", "nearest"}
    assert answer["prediction"]["file"] == "2.png" and len(answer["prediction"]["id"]) == 32
    assert set(answer["nearest"][0]) == {"id", "label", "distance", "image"}
    predicted = client.post("/v1/predict", content=content, headers={"content-type": "image/png"}).json()
    assert predicted["predictions"][0]["score"] == pytest.approx(answer["prediction"]["score"], abs=1e-6)


def test_what_is_answered_is_what_the_api_describes(client, pictures):
    answer = client.post("/v1/explain", content=(pictures / "2.png").read_bytes()).json()
    schema = Explanation.model_json_schema()
    for found in (answer, *schema["examples"]):
        assert Explanation.model_validate(found, strict=True).model_dump(exclude_none=True)
        shown = found["image"]
        assert samples(shown).shape == (shown["height"], shown["width"], shown["channels"])


def test_a_frame_of_several_is_explained_alone(client):
    pages = [Image.fromarray(np.full((40, 40), value, np.uint8)) for value in (10, 200, 90)]
    stream = io.BytesIO()
    pages[0].save(stream, format="TIFF", save_all=True, append_images=pages[1:])
    files = {"file": ("a.tif", stream.getvalue())}
    answer = client.post("/v1/explain?frame=1", files=files).json()
    assert answer["prediction"]["file"] == "a.tif#1"
    assert samples(answer["image"]).max() == 200
    assert client.post("/v1/explain?frame=3", files=files).status_code == 422
    assert client.post("/v1/explain?frame=-1", files=files).status_code == 422


@pytest.mark.parametrize(
    ("files", "status"),
    [
        ([("file", ("a.png", b"\x89PNG\r\n\x1a\n"))], 422),
        ([("file", ("a.txt", b"hello"))], 415),
        ([("file", ("a.png", b"\x89PNG\r\n\x1a\n")), ("file", ("b.png", b"\x89PNG\r\n\x1a\n"))], 422),
    ],
)
def test_what_is_no_image_is_a_problem(client, files, status):
    answer = client.post("/v1/explain", files=files)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json" and answer.json()["detail"]


def test_the_page_and_its_files_are_served_and_nothing_else(client):
    page = client.get("/")
    assert page.status_code == 200 and "default-src 'self'" in page.headers["content-security-policy"]
    assert "style=" not in page.text and "<script>" not in page.text
    again = client.get(
        "/assets/style.css", headers={"If-None-Match": client.get("/assets/style.css").headers["etag"]}
    )
    assert again.status_code == 304
    for name in ("nothing.js", "..%2fpage.py", "%2e%2e/page.py", "__init__.py"):
        assert client.get(f"/assets/{name}").status_code == 404


def test_the_model_says_at_which_share_probabilities_hold(client):
    told = client.get("/v1/model").json()
    assert 0 < told["calibration"]["stated_at"] < 1
    assert told["keeps"] == {"drift": True, "feedback": False}


def test_who_was_explained_can_be_labelled_and_counts_in_no_drift(bundle, pictures, tmp_path):
    app = create_app(ServiceSettings(bundle, threads=1, state=tmp_path / "state"))
    client = Client(app)
    assert client.get("/v1/model").json()["keeps"] == {"drift": True, "feedback": True}
    answer = client.post("/v1/explain", content=(pictures / "0.png").read_bytes())
    id = answer.json()["prediction"]["id"]
    assert client.post("/v1/feedback", json={"id": id, "label": "normal"}).status_code == 204
    assert client.get("/v1/drift").json()["images"] == 0
    app.state.service.engine.close()
    app.state.service.feedback.close()
