"""How the tests ask a service: its application without a server, or a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from raresight.deploy.service.app import create_app
from raresight.deploy.service.engine import Call, Engine
from raresight.deploy.service.settings import ServiceSettings

RUN = """
import json, sys
from pathlib import Path
from raresight.deploy.service.server import serve
from raresight.deploy.service.settings import ServiceSettings
told = json.loads(sys.argv[1])
paths = {key: Path(told[key]) for key in ("bundle", "token_file", "state") if told[key]}
settings = ServiceSettings(**{**told, **paths})
serve(settings, host="127.0.0.1", port=0, tell=lambda address: print(address, flush=True))
"""


@contextmanager
def opened_app(bundle: Path, **settings: Any) -> Iterator[Any]:
    """An application, whose threads end with the block."""
    app = create_app(ServiceSettings(bundle, **{"threads": 2, **settings}))
    try:
        yield app
    finally:
        app.state.service.engine.close()


class Hold(Call):
    """Keeps a thread of an engine from its work."""

    def run(self) -> None:
        assert self.function is not None
        self.function()


@contextmanager
def held(engine: Engine) -> Iterator[None]:
    """Keep all threads of an engine from their work."""
    ended, busy = threading.Event(), threading.Barrier(len(engine._threads) + 1)

    def wait() -> None:
        busy.wait(10)
        ended.wait(10)

    for _ in engine._threads:
        engine._todo.put(Hold(wait, None))  # type: ignore[arg-type]
    busy.wait(10)
    try:
        yield
    finally:
        ended.set()


def client(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


def ask(app: Any, method: str, path: str, **options: Any) -> httpx.Response:
    """Ask one thing."""

    async def one() -> httpx.Response:
        async with client(app) as asking:
            return await asking.request(method, path, **options)

    return within(one())


def within(work: Coroutine[Any, Any, Any], seconds: float = 30) -> Any:
    """Run, but not for ever."""

    async def bounded() -> Any:
        return await asyncio.wait_for(work, seconds)

    return asyncio.run(bounded())


def post(app: Any, content: bytes, **options: Any) -> httpx.Response:
    """Send one image as it is."""
    headers = {"content-type": "image/png", **options.pop("headers", {})}
    return ask(app, "POST", "/v1/predict", content=content, headers=headers, **options)


def files(*images: tuple[str, bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    return [("file", image) for image in images]


def png(array: np.ndarray, path: Path) -> bytes:
    Image.fromarray(array).save(path)
    return path.read_bytes()


class Running:
    """A service in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process, self._log = process, log
        assert process.stdout is not None
        self.address = process.stdout.readline().strip()
        assert self.address, log.read_text()
        self.port = int(self.address.rsplit(":", 1)[1])

    @property
    def log(self) -> str:
        return self._log.read_text()

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.splitlines()]

    def get(self, path: str, **options: Any) -> httpx.Response:
        return httpx.get(self.address + path, **options)

    def post(self, content: bytes, path: str = "/v1/predict", **options: Any) -> httpx.Response:
        headers = {"content-type": "image/png", **options.pop("headers", {})}
        return httpx.post(self.address + path, content=content, headers=headers, timeout=20, **options)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def end(self, seconds: float = 15) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


@contextmanager
def running(bundle: Path, folder: Path, **settings: Any) -> Iterator[Running]:
    """A service on a free port of the loopback address."""
    told = asdict(ServiceSettings(bundle, **{"threads": 2, **settings}))
    log = folder / "service.log"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, json.dumps(told, default=str)],
            stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment,
        )  # fmt: skip
    try:
        yield Running(process, log)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


def read_all(connection: socket.socket) -> bytes:
    """Read until the server closes."""
    found = b""
    while part := connection.recv(65536):
        found += part
    return found


def allow_files(count: int) -> None:
    """Raise this process's own limit on open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        pytest.skip(f"this process may open {hard} files, and the test needs {count}")
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
