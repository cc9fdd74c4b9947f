"""The server: one process that listens, drains when told to end, and loads a new bundle when told to."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import signal
import socket
import ssl
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from raresight.deploy.service.app import create_app
from raresight.deploy.service.logs import log, written_logs
from raresight.deploy.service.protocol import limited
from raresight.deploy.service.service import Service
from raresight.deploy.service.settings import ServiceSettings
from raresight.errors import OptionError

KEEP_ALIVE_SECONDS = 30

OTHER_FILES = 128
"""Files that are no connections."""


class Server(uvicorn.Server):
    """uvicorn's server, with the end of a service that has work under way.

    On SIGTERM or SIGINT ``/readyz`` says 503 and no further image is taken; what is under way is finished,
    within ``drain_seconds``. A second signal waits no longer. SIGHUP loads the bundle anew.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI, tell: Callable[[], None]) -> None:
        super().__init__(config)
        self._app, self._tell = app, tell
        self._service: Service = app.state.service
        self._ending: asyncio.Task[None] | None = None
        self._loading: set[asyncio.Task[bool]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so once the service can be asked."""
        await super().startup(sockets)
        # What is there now stays: it need not be searched for garbage again and again.
        gc.collect()
        gc.freeze()
        self._tell()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Take signals in the event loop, so that the process ends with status 0."""
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, self._end)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        try:
            yield
        finally:
            for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(each)

    def _end(self) -> None:
        if self._ending is not None:
            self.should_exit = True
            return
        self._service.draining = True
        log("draining", requests=self._service.under_way)
        self._ending = asyncio.ensure_future(self._drain())

    async def _drain(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._service.settings.drain_seconds):
                while self._service.under_way:
                    await asyncio.sleep(0.02)
        self.should_exit = True

    def _reload(self) -> None:
        task = asyncio.ensure_future(self._app.state.reloader.reload())
        self._loading.add(task)
        task.add_done_callback(self._loading.discard)


def serve(
    settings: ServiceSettings,
    *,
    host: str,
    port: int,
    certificate: Path | None = None,
    key: Path | None = None,
    tell: Callable[[str], None],
) -> None:
    """Serve a bundle until the process is told to end.

    Parameters
    ----------
    settings : ServiceSettings
    host, port : str and int
        Where to listen; port 0 takes a free one.
    certificate, key : Path, optional
        PEM files, for TLS.
    tell : callable
        Given the service's address once it can be asked.

    Raises
    ------
    BundleError
        If the bundle cannot be used.
    OptionError
        If it may or can not listen there, or the files for TLS or of tokens cannot be used.
    """
    check_tls(certificate, key)
    with _listening(host, port) as listener:
        app = create_app(settings)
        connections = _allow_connections(settings.connections)
        config = uvicorn.Config(
            app,
            http=limited(settings.header_seconds, connections),
            loop="auto",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=2,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
        scheme = "http" if certificate is None else "https"
        name = f"[{host}]" if ":" in host else host
        address = f"{scheme}://{name}:{listener.getsockname()[1]}"
        with written_logs():
            Server(config, app, lambda: tell(address)).run(sockets=[listener])


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_tls(certificate: Path | None, key: Path | None) -> None:
    """Refuse a certificate without its key, and files that cannot be used, before anything is loaded.

    Raises
    ------
    OptionError
        If so.
    """
    if certificate is None and key is None:
        return
    if certificate is None or key is None:
        raise OptionError("TLS needs both files; give --tls-cert and --tls-key")
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key, password="")
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise OptionError(
            f"{certificate} and {key} cannot be used for TLS ({reason}); "
            "give PEM files of a certificate and of its key without a passphrase"
        ) from None


@contextmanager
def _listening(host: str, port: int) -> Generator[socket.socket, None, None]:
    """Take the port, before seconds are spent on loading."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OptionError(
            f"--host {host} --port {port} cannot be listened at ({error.strerror or error}); choose another"
        ) from None
    with listener:
        yield listener


def _allow_connections(most: int) -> int:
    """Raise the process's limit on open files to what connections need; give how many it then allows."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most + OTHER_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(1, min(most, max(soft, wanted) - OTHER_FILES))
