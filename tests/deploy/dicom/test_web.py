"""DICOMweb against a small server on loopback."""

from __future__ import annotations

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from ward import dicom_object, new_uid

from raresight.deploy.dicom.arrival import RefusedError
from raresight.deploy.dicom.sender import RejectedError, UnreachableError
from raresight.deploy.dicom.web import BLOCK, WebReceiver, download, open_service
from raresight.errors import OptionError


class Server:
    """Answers everything with the same status and body, and remembers what it was asked."""

    def __init__(self) -> None:
        self.status, self.body, self.asked = 200, b"", []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.asked.append((self.path, dict(self.headers)))
                self.send_response(outer.status)
                self.send_header("Content-Type", 'multipart/related; type="application/dicom"; boundary=xyz')
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                self.wfile.write(outer.body)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/dicom-web"
        Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}).start()


@pytest.fixture()
def server():
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


def part(content: bytes) -> bytes:
    return b"--xyz\r\nContent-Type: application/dicom\r\n\r\n" + content + b"\r\n--xyz--\r\n"


@pytest.mark.parametrize("size", [0, 1, BLOCK - 60, BLOCK - 45, BLOCK, 3 * BLOCK + 7])
def test_an_object_is_fetched_whole_wherever_the_pieces_end(server: Server, tmp_path: Path, size: int):
    content = np.random.default_rng(size).integers(0, 256, size, np.uint8).tobytes() + b"\r\n--xy"
    server.body = part(content)
    service, token = open_service(server.url, None), tmp_path / "token"
    download(service, ("1", "2", "3"), tmp_path / "a", 2**22)
    assert (tmp_path / "a").read_bytes() == content
    token.write_text("secret\n")
    download(open_service(server.url + "/", token), ("1", "2", "3"), tmp_path / "a", 2**22)
    (path, _), (_, headers) = server.asked
    assert path == "/dicom-web/studies/1/series/2/instances/3" and headers["Authorization"] == "Bearer secret"


@pytest.mark.parametrize("body", [b"", b"no parts", part(b"x" * 2**20), part(b"x" * 2**20)[:-9]])
def test_answers_that_are_too_large_or_no_object_are_refused(server: Server, tmp_path: Path, body: bytes):
    server.body = body
    with pytest.raises(RefusedError):
        download(open_service(server.url, None), ("1", "2", "3"), tmp_path / "a", 2**19)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(503, UnreachableError), (429, UnreachableError), (409, RejectedError), (401, UnreachableError)],
)
def test_what_a_service_answers_to_a_result(server: Server, settings: Callable, tmp_path, status, kind):
    server.status = status
    file = tmp_path / "a.dcm"
    dicom_object(np.zeros((9, 9), np.uint8), new_uid()).save_as(file, enforce_file_format=True)
    arrived: list[Path] = []
    with pytest.raises(kind):
        WebReceiver(settings(send_to=None, dicomweb=server.url)).send([file], arrived.append)
    assert arrived == [] and len(server.asked) == 1


def test_no_service_there(settings: Callable, tmp_path: Path):
    file = tmp_path / "a.dcm"
    dicom_object(np.zeros((9, 9), np.uint8), new_uid()).save_as(file, enforce_file_format=True)
    with pytest.raises(UnreachableError):
        WebReceiver(settings(send_to=None, dicomweb="http://127.0.0.1:9")).send([file], print)


def test_a_token_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(OptionError, match="--token"):
        open_service("http://127.0.0.1", tmp_path / "none")
