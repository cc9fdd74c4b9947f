"""The API's description: complete, true to the answers, and with examples."""

from __future__ import annotations

import pytest
from serving import ask, opened_app, post


@pytest.fixture(scope="module")
def app(bundle):
    with opened_app(bundle) as app:
        yield app


@pytest.fixture(scope="module")
def described(app):
    return ask(app, "GET", "/openapi.json").json()


def resolved(described, schema):
    while "$ref" in schema:
        schema = described["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def operations(described):
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def test_every_route_says_what_it_gives_and_how_it_fails(described):
    for name, operation in operations(described):
        assert operation["summary"], name
        answers = operation["responses"]
        assert any(status.startswith("2") for status in answers), name
        if name.endswith("/healthz"):
            continue
        assert {"401", "500"} <= set(answers), name
        for status, answer in answers.items():
            assert answer["description"], (name, status)
            if status >= "400":
                assert list(answer["content"]) == ["application/problem+json"], (name, status)


def test_every_json_answer_has_an_example(described):
    for name, operation in operations(described):
        for status, answer in operation["responses"].items():
            for kind, content in answer.get("content", {}).items():
                if "json" in kind:
                    schema = resolved(described, content["schema"])
                    assert schema.get("examples") or content.get("examples"), (name, status)


def test_bodies_are_described(described):
    body = described["paths"]["/v1/predict"]["post"]["requestBody"]
    assert body["required"]
    assert {"multipart/form-data", "image/png", "image/jpeg", "image/tiff", "application/dicom"} <= set(
        body["content"]
    )


def test_answers_have_the_fields_that_are_described(app, described, pictures):
    answer = post(app, (pictures / "0.png").read_bytes()).json()
    scored = described["components"]["schemas"]["Scored"]
    (one,) = answer["predictions"]
    assert set(scored["required"]) <= set(one) <= set(scored["properties"])
    model = ask(app, "GET", "/v1/model").json()
    schema = described["components"]["schemas"]["Model"]
    assert set(model) == set(schema["properties"]) == set(schema["required"])


def test_the_model_is_what_the_bundle_says(app, bundle):
    from hashlib import sha256

    model = ask(app, "GET", "/v1/model").json()
    assert model["bundle"] == sha256((bundle / "SHA256SUMS").read_bytes()).hexdigest()
    assert model["card"] == (bundle / "model_card.md").read_text()
    assert model["thresholds"]["default"] == app.state.service.engine.opened.predictor.facts.threshold()
    assert model["limits"]["images"] == app.state.service.settings.images
