"""``raresight serve``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


def serve(
    bundle: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="A folder that raresight train made, or a link to one.")
    ],
    host: Annotated[
        str, typer.Option(help="Where to listen; any but this machine needs --token-file.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    token_file: Annotated[
        Path | None, typer.Option(help="Bearer tokens, one a line; read again when it changes.")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key, PEM.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="By default one a core.")] = None,
    max_megapixels: Annotated[float, typer.Option(min=0.01, help="Refuse larger images.")] = 30,
    max_body_mb: Annotated[float, typer.Option(min=0.01, help="Refuse larger requests.")] = 128,
    queue: Annotated[int, typer.Option(min=1, help="Images that may wait; then 429.")] = 256,
    batch: Annotated[int, typer.Option(min=1, max=256, help="Images scored at once, at most.")] = 4,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds a request may take; then 503.")] = 30,
    state: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep feedback and drift in this folder.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Load the bundle anew when it changes.")] = False,
) -> None:
    """Serve a bundle over HTTP, with a web page; SIGTERM drains, SIGHUP loads the bundle anew."""
    from raresight.cli.console import say
    from raresight.errors import MissingExtraError, OptionError

    try:
        from raresight.deploy.service.server import is_loopback
        from raresight.deploy.service.server import serve as run
        from raresight.deploy.service.settings import MEGABYTE, ServiceSettings
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("raresight"):
            raise
        raise MissingExtraError(f"the service needs {error.name}: pip install 'raresight[serve]'") from error
    if token_file is None and not is_loopback(host):
        raise OptionError(
            f"--host {host} can be reached from other machines; give --token-file with a token a line, "
            "or leave --host out"
        )
    settings = ServiceSettings(
        bundle,
        threads=threads or os.cpu_count() or 1,
        max_pixels=int(max_megapixels * MEGABYTE),
        body_bytes=int(max_body_mb * MEGABYTE),
        queue=queue,
        batch=batch,
        timeout=timeout,
        drain_seconds=timeout + 5,
        token_file=token_file,
        state=state,
        watch=watch,
        hosts=(*LOOPBACK_NAMES, host) if token_file is None else None,
    )
    run(
        settings,
        host=host,
        port=port,
        certificate=tls_cert,
        key=tls_key,
        tell=lambda address: say(f"serving {bundle.name} at {address}"),
    )
