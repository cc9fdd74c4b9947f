"""What every request passes: tokens, headers, origins, and what is logged and counted of it."""

from __future__ import annotations

import json
import logging
import os

import pytest
from serving import ask, files, opened_app, post

from raresight.deploy.service.auth import Tokens
from raresight.deploy.service.logs import JsonLines
from raresight.errors import OptionError

GOOD, OTHER = "first-token-0123456789", "second-token-0123456789"


@pytest.fixture(scope="module")
def app(bundle):
    with opened_app(bundle) as app:
        yield app


@pytest.fixture(scope="module")
def image(pictures):
    return (pictures / "0.png").read_bytes()


@pytest.fixture()
def token_file(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"# for the worklist\n{GOOD}\n\n{OTHER}\n")
    return path


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_every_answer_has_the_security_headers(app):
    for path in ("/healthz", "/v1/model", "/nowhere", "/metrics"):
        headers = ask(app, "GET", path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
    assert ask(app, "GET", "/v1/model").headers["cache-control"] == "no-store"


def test_unknown_paths_and_methods_are_problems(app):
    for answer, status in (
        (ask(app, "GET", "/nowhere"), 404),
        (ask(app, "DELETE", "/v1/model"), 405),
        (ask(app, "GET", "/docs"), 404),
    ):
        assert answer.status_code == answer.json()["status"] == status
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_token_is_needed_where_there_are_tokens(bundle, token_file, image):
    with opened_app(bundle, token_file=token_file) as app:
        for path in ("/v1/model", "/metrics", "/openapi.json", "/nowhere"):
            for wrong in ({}, bearer("x" * 22), bearer(""), {"authorization": f"Basic {GOOD}"}):
                answer = ask(app, "GET", path, headers=wrong)
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"] == "Bearer"
        assert post(app, image).status_code == 401
        for token in (GOOD, OTHER):
            assert ask(app, "GET", "/v1/model", headers=bearer(token)).status_code == 200
            assert post(app, image, headers=bearer(token)).status_code == 200
        for path in ("/healthz", "/readyz"):
            assert ask(app, "GET", path).status_code == 200
        assert ask(app, "GET", "/", headers={}).status_code != 401
        described = ask(app, "GET", "/openapi.json", headers=bearer(GOOD)).json()
        assert described["security"] == [{"token": []}]


def test_tokens_are_read_again_when_the_file_changes(token_file):
    tokens = Tokens(token_file)
    assert tokens.accepts(b"Bearer " + GOOD.encode())
    token_file.write_text("another-token-0123456789")
    assert not tokens.accepts(b"Bearer " + GOOD.encode())
    assert tokens.accepts(b"bearer another-token-0123456789")
    token_file.write_text("")  # half written: what was known holds on
    assert tokens.accepts(b"Bearer another-token-0123456789")
    token_file.unlink()
    assert tokens.accepts(b"Bearer another-token-0123456789")
    token_file.write_text(GOOD)
    os.utime(token_file, (1, 1))
    assert tokens.accepts(b"Bearer " + GOOD.encode())
    assert not tokens.accepts(b"Bearer another-token-0123456789")


@pytest.mark.parametrize("content", ["", "# nothing\n", "short\n"])
def test_a_token_file_without_a_good_token_is_refused(tmp_path, content):
    path = tmp_path / "tokens"
    path.write_text(content)
    with pytest.raises(OptionError, match="tokens"):
        Tokens(path)
    with pytest.raises(OptionError, match="cannot be read"):
        Tokens(tmp_path / "missing")


def test_another_sites_page_cannot_send_images(app, image):
    ours, theirs = {"origin": "http://localhost"}, {"origin": "https://evil.example"}
    assert post(app, image, headers=ours).status_code == 200
    assert post(app, image, headers=theirs).status_code == 403
    assert post(app, image, headers={"origin": "null"}).status_code == 403


def test_a_name_that_leads_here_by_trickery_is_refused(bundle):
    with opened_app(bundle, hosts=("localhost", "[::1]")) as app:
        for host in ("localhost", "localhost:8000", "[::1]", "[::1]:8000"):
            assert ask(app, "GET", "/v1/model", headers={"host": host}).status_code == 200
        for host in ("evil.example", "localhost.evil.example", "evil.example:8000", ""):
            assert ask(app, "GET", "/v1/model", headers={"host": host}).status_code == 421


def test_logs_and_metrics_hold_nothing_that_a_client_sent(bundle, token_file, image, caplog):
    caplog.set_level(logging.DEBUG)
    secret = "Doe^Jane"
    with opened_app(bundle, token_file=token_file) as app:
        headers = {**bearer(GOOD), "user-agent": secret, "x-request-id": secret}
        path = f"/v1/predict?threshold=0&{secret}={secret}"
        assert ask(app, "POST", path, files=files((f"{secret}.png", image)), headers=headers).is_success
        sent = files((f"{secret}.png", image[:99]), (f"{secret}.txt", secret.encode()))
        assert ask(app, "POST", path, files=sent, headers=headers).is_success
        assert ask(app, "POST", f"/v1/{secret}", headers=headers).status_code == 404
        assert ask(app, secret.upper(), "/v1/model", headers=headers).status_code == 405
        metrics = ask(app, "GET", "/metrics", headers=bearer(GOOD)).text
    own = [record for record in caplog.records if record.name.startswith(("raresight", "uvicorn"))]
    lines = [JsonLines().format(record) for record in own]
    found = [json.loads(line) for line in lines]
    assert [(each["route"], each["status"], each["images"]) for each in found] == [
        ("/v1/predict", 200, 1),
        ("/v1/predict", 200, 2),
        ("none", 404, 0),
        ("/v1/model", 405, 0),
    ]
    for text in (*lines, metrics):
        assert secret.lower() not in text.lower()
        assert GOOD not in text


def test_metrics_count_what_happened(bundle, image):
    with opened_app(bundle) as app:
        post(app, image)
        post(app, image, params={"threshold": "-99"})
        post(app, image[:200])
        text = ask(app, "GET", "/metrics").text
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert lines['raresight_request_seconds_count{route="/v1/predict",status="200"}'] == "2.0"
    assert lines['raresight_errors_total{status="422"}'] == "1.0"
    assert lines["raresight_batch_images_count"] == "3.0"
    assert lines["raresight_score_count"] == "2.0"
    assert lines["raresight_unreadable_images_total"] == "1.0"
    assert float(lines['raresight_decisions_total{decision="anomalous"}']) >= 1
    assert lines["raresight_queue_images"] == lines["raresight_body_bytes"] == "0.0"
    (info,) = [key for key in lines if key.startswith("raresight_model_info")]
    assert app.state.service.engine.opened.digest in info


def test_what_fails_inside_is_a_500_without_its_details(bundle, image, caplog):
    with opened_app(bundle) as app:
        service = app.state.service

        def broken() -> None:
            raise ValueError("secret detail")

        app.get("/broken")(broken)
        answer = ask(app, "GET", "/broken")
        assert answer.status_code == answer.json()["status"] == 500
        assert "secret" not in answer.text
        (line,) = [r for r in caplog.records if r.getMessage() == "failed"]
        assert "secret" not in JsonLines().format(line)
        assert json.loads(JsonLines().format(line))["error"] == "ValueError"
        assert service.under_way == 0
        assert post(app, image).status_code == 200
