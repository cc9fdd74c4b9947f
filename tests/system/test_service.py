"""``raresight serve`` as it is started by a user, under what a network may do to it."""

from __future__ import annotations

import io
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image

import raresight as rs

TYPE = {"content-type": "image/png"}
TOKEN = "a-token-of-this-test-0123456789"
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    images = rs.load("phantom:brain?n=48&anomalies=0.4&difficulty=0&seed=0")
    made = rs.train(images, "logistic", "none", representation="pca[components=8]", preprocess="mri")
    return made.save(tmp_path_factory.mktemp("bundle") / "quick")


def encoded(array: np.ndarray, kind: str = "PNG") -> bytes:
    held = io.BytesIO()
    Image.fromarray(array).save(held, kind)
    return held.getvalue()


@pytest.fixture(scope="module")
def image() -> bytes:
    return encoded(np.random.default_rng(0).integers(0, 255, (224, 224)).astype(np.uint8))


class Service:
    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process, self._log = process, log
        until = time.monotonic() + 30
        while not (found := [line for line in self.log.splitlines() if line.startswith("serving ")]):
            assert process.poll() is None, self.log
            assert time.monotonic() < until, "the service does not start"
            time.sleep(0.02)
        self.address = found[0].split()[-1]
        self.port = int(self.address.rsplit(":", 1)[1])

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def megabytes(self) -> float:
        return psutil.Process(self.process.pid).memory_info().rss / MEGABYTE

    def post(self, content: bytes, **options: object) -> httpx.Response:
        return httpx.post(f"{self.address}/v1/predict", content=content, headers=TYPE, timeout=60, **options)


@contextmanager
def serving(bundle: Path, folder: Path, *options: str) -> Iterator[Service]:
    log = folder / "log"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "raresight", "serve", str(bundle), "--port", "0", *options],
            stderr=stderr,
            text=True,
        )
    try:
        service = Service(process, log)
        yield service
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert "Traceback" not in service.log
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)


def test_a_thousand_images_at_once_are_answered_or_sent_away(bundle, image, tmp_path):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1500:
        pytest.skip(f"this process may open {hard} files only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (1500 if hard == resource.RLIM_INFINITY else hard, hard))
    head = b"POST /v1/predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/png\r\nconnection: close\r\n"
    request = head + f"content-length: {len(image)}\r\n\r\n".encode() + image
    with serving(bundle, tmp_path) as service:
        connections = [socket.create_connection(("127.0.0.1", service.port), 20) for _ in range(1000)]
        for connection in connections:
            connection.sendall(request[:-1])
        for connection in connections:  # now all are complete, nearly at once
            connection.sendall(request[-1:])
        answers: Counter[bytes] = Counter()
        for connection in connections:
            with connection:
                answers[connection.recv(65536).split(b" ", 2)[1]] += 1
        assert set(answers) <= {b"200", b"429"}
        assert answers[b"200"] >= 200
        assert service.post(image).status_code == 200
        assert service.megabytes < 1000


def test_images_that_unfold_to_gigabytes_do_not_fill_the_memory(bundle, image, tmp_path):
    side = 5400
    shapes = [((side, side), np.uint8), ((side, side), np.uint16), ((side, side, 4), np.uint8)]
    bombs = [encoded(np.zeros(shape, dtype)) for shape, dtype in shapes]
    bombs.append(encoded(np.zeros((side, side, 3), np.uint8), "JPEG"))
    too_large = encoded(np.zeros((12_000, 12_000), np.uint8))
    with serving(bundle, tmp_path, "--timeout", "120") as service:
        most, ended = 0.0, threading.Event()

        def watch() -> None:
            nonlocal most
            while not ended.wait(0.02):
                most = max(most, service.megabytes)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            with ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(service.post, bombs * 3 + [too_large] * 4))
        finally:
            ended.set()
            watcher.join()
        assert {answer.status_code for answer in answers} <= {200, 422}
        assert [answer.status_code for answer in answers[-4:]] == [422] * 4
        assert most < 1500
        assert service.post(image).status_code == 200


def test_a_huge_upload_is_refused_and_not_held(bundle, image, tmp_path):
    with serving(bundle, tmp_path) as service:
        before = service.megabytes

        def chunks() -> Iterator[bytes]:
            for _ in range(200):
                yield bytes(MEGABYTE)

        assert service.post(bytes(200 * MEGABYTE)).status_code == 413
        assert service.post(chunks()).status_code == 413
        assert service.megabytes < before + 400
        assert service.post(image).status_code == 200


def test_slow_clients_do_not_slow_the_others(bundle, image, tmp_path):
    head = (
        b"POST /v1/predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/png\r\ncontent-length: 9999\r\n"
    )
    with serving(bundle, tmp_path) as service:
        slow = [socket.create_connection(("127.0.0.1", service.port), 20) for _ in range(400)]
        for number, connection in enumerate(slow):
            connection.sendall(head if number % 2 else head + b"\r\nx")
        start = time.monotonic()
        for _ in range(20):
            assert service.post(image).status_code == 200
        assert time.monotonic() - start < 10
        for connection in slow:  # each is cut, the one with its reason
            with connection:
                connection.settimeout(30)
                assert b" 408 " in connection.recv(65536)[:20]
        assert time.monotonic() - start < 30


def test_versions_change_under_load_and_no_request_fails(bundle, image, tmp_path):
    for name in ("1", "2"):
        shutil.copytree(bundle, tmp_path / name)
    shutil.copytree(bundle, tmp_path / "bad")
    (tmp_path / "bad" / "detector.onnx").write_bytes(b"not what the list says")
    link = tmp_path / "current"
    link.symlink_to("1")
    with serving(link, tmp_path, "--watch") as service:
        statuses: Counter[int] = Counter()
        ended = threading.Event()

        def ask() -> None:
            with httpx.Client(base_url=service.address, timeout=30) as asking:
                while not ended.is_set():
                    answer = asking.post("/v1/predict", content=image, headers=TYPE)
                    statuses[answer.status_code] += 1

        askers = [threading.Thread(target=ask) for _ in range(4)]
        for each in askers:
            each.start()
        try:
            for name in ("2", "bad", "1", "2"):
                fresh = tmp_path / "fresh"
                fresh.symlink_to(name)
                fresh.replace(link)
                service.process.send_signal(signal.SIGHUP)
                time.sleep(1.0)
        finally:
            ended.set()
            for each in askers:
                each.join()
        assert set(statuses) == {200}
        assert statuses[200] > 50
        metrics = httpx.get(f"{service.address}/metrics").text
        assert 'raresight_reloads_total{outcome="failed"}' in metrics
        assert 'raresight_reloads_total{outcome="done"}' in metrics
        assert "detector.onnx of" in service.log


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate with")
def test_tokens_and_tls_on_every_address(bundle, image, tmp_path):
    certificate, key, tokens = (tmp_path / name for name in ("cert.pem", "key.pem", "tokens"))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    tokens.write_text(f"{TOKEN}\n")
    trust = ssl.create_default_context(cafile=str(certificate))
    bearer = {"authorization": f"Bearer {TOKEN}"}
    options = ("--tls-cert", str(certificate), "--tls-key", str(key), "--token-file", str(tokens))
    with serving(bundle, tmp_path, *options) as service:
        assert service.address.startswith("https://")
        with httpx.Client(base_url=f"https://localhost:{service.port}", verify=trust) as asking:
            assert asking.get("/healthz").status_code == 200
            assert asking.get("/v1/model").status_code == 401
            assert asking.get("/v1/model", headers={"authorization": "Bearer wrong"}).status_code == 401
            sent = asking.post("/v1/predict", content=image, headers={**TYPE, **bearer})
            assert sent.status_code == 200
            tokens.write_text("another-token-of-this-test-0123\n")
            assert asking.get("/v1/model", headers=bearer).status_code == 401
        with socket.create_connection(("127.0.0.1", service.port), 10) as plain:  # no TLS: cut, not served
            plain.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert b"200" not in plain.recv(1000)
        assert TOKEN not in service.log
