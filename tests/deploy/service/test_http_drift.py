"""Drift and feedback over HTTP."""

from __future__ import annotations

import io
import json

import httpx
import numpy as np
import pytest
from PIL import Image
from serving import ask, opened_app, post, running

import raresight as rs
from raresight.deploy.drift import ALARMS, FEWEST
from raresight.deploy.feedback import FeedbackStore
from raresight.deploy.files import write_list
from raresight.deploy.reference import drift_statistics

FEEDBACK = "/v1/feedback"


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    return tmp_path_factory.mktemp("state") / "kept"


@pytest.fixture(scope="module")
def app(bundle, state):
    with opened_app(bundle, state=state) as app:
        yield app


@pytest.fixture(scope="module")
def image(pictures):
    return (pictures / "0.png").read_bytes()


def scored(app, image) -> dict:
    return post(app, image).json()["predictions"][0]


def test_drift_waits_for_images_and_then_speaks(bundle, pictures):
    with opened_app(bundle) as app:
        before = ask(app, "GET", "/v1/drift").json()
        assert before["scores"] is None and before["alarms"] == []
        for number in range(FEWEST):
            post(app, (pictures / f"{number % 6}.png").read_bytes())
        after = ask(app, "GET", "/v1/drift").json()
        assert after["images"] == after["window"] == FEWEST
        assert 0 <= after["scores"]["ks"] <= 1 and after["prevalence"]["low"] >= 0
        text = ask(app, "GET", "/metrics").text
        figures = dict(
            line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("raresight_drift")
        )
        assert float(figures["raresight_drift_score_ks"]) == pytest.approx(after["scores"]["ks"])
        raised = {alarm["name"] for alarm in after["alarms"]}
        for name in ALARMS:
            assert float(figures[f'raresight_drift_alarm{{alarm="{name}"}}']) == (name in raised)


def test_a_label_is_kept_with_its_prediction_and_nothing_else_is(app, state, image):
    one = scored(app, image)
    answer = ask(app, "POST", FEEDBACK, json={"id": one["id"], "label": "anomalous"})
    assert answer.status_code == 204 and answer.content == b""
    assert ask(app, "POST", FEEDBACK, json={"id": one["id"], "label": "normal"}).status_code == 204
    (row,) = rs.read_feedback(state / "feedback.sqlite").to_dict("records")
    assert (row["row"], row["label"], row["score"]) == (one["id"], 0, pytest.approx(one["score"]))
    assert state.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b'{"id": "unknown", "label": "normal"}', 404),
        (b'{"id": "unknown", "label": "cancer"}', 422),
        (b'{"id": 7, "label": "normal"}', 422),
        (b"[]", 422),
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[" * 4000, 400),
        (b'{"id": "' + b"x" * 5000, 413),
    ],
)
def test_what_is_no_label_is_refused_in_one_sentence(app, content, status):
    answer = ask(app, "POST", FEEDBACK, content=content)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert "\n" not in answer.json()["detail"]


def test_without_a_state_no_feedback_is_kept(bundle, image):
    with opened_app(bundle) as app:
        one = scored(app, image)
        assert ask(app, "POST", FEEDBACK, json={"id": one["id"], "label": "normal"}).status_code == 409


def test_a_full_disk_costs_the_label_and_not_the_prediction(app, image, monkeypatch):
    one = scored(app, image)
    # The file may grow no further: what SQLite says when its disk is full.
    base = app.state.service.feedback._base
    pages = base.execute("PRAGMA page_count").fetchone()[0]
    base.execute(f"PRAGMA max_page_count = {pages}")
    try:
        for _ in range(60):
            assert post(app, image).status_code == 200
        answer = ask(app, "POST", FEEDBACK, json={"id": one["id"], "label": "normal"})
        assert answer.status_code in (204, 507)  # a label may still fit into its row's page
    finally:
        base.execute("PRAGMA max_page_count = 1073741823")
    later = {"id": scored(app, image)["id"], "label": "normal"}
    assert ask(app, "POST", FEEDBACK, json=later).status_code == 204


def test_both_outlive_the_process(bundle, image, tmp_path):
    state = tmp_path / "state"
    with running(bundle, tmp_path, state=state) as service:
        one = service.post(image).json()["predictions"][0]
        service.process.kill()
        service.process.wait(10)
    with running(bundle, tmp_path, state=state) as service:
        answer = httpx.post(service.address + FEEDBACK, json={"id": one["id"], "label": "anomalous"})
        assert answer.status_code == 204
        service.post(image)
        assert service.end() == 0
    with running(bundle, tmp_path, state=state) as service:
        assert service.get("/v1/drift").json()["images"] == 1
        assert "png" not in service.log
    assert FeedbackStore(state / "feedback.sqlite").summary()["anomalous"] == 1


def test_features_reach_the_monitor(copy, images):
    """As in a bundle whose representation was not learned from its images."""
    predictor = rs.Predictor(copy)
    _, features = predictor.scores(np.stack([predictor.prepare(images.read(row)) for row in range(48)]))
    known = json.loads((copy / "reference.json").read_text())
    known["drift"] = drift_statistics(features, images.y, np.arange(48))
    (copy / "reference.json").write_text(json.dumps(known))
    write_list(copy)
    with opened_app(copy) as app:
        for row in range(FEWEST):
            post(app, png_of(images.read(row % 48)))
        found = ask(app, "GET", "/v1/drift").json()["features"]
    assert 0 < found["p"] <= 1 and found["distance"]["mean"] > 0


def png_of(pixels: np.ndarray) -> bytes:
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, "PNG")
    return held.getvalue()
