"""What a service is told when it starts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """How a bundle is served.

    Attributes
    ----------
    bundle : Path
        A bundle, or a link to one.
    threads : int
        Of ONNX Runtime, and images decoded at once; by default one a core.
    max_pixels : int
        Images with more are refused before they are decoded.
    body_bytes : int
        The largest request body.
    bodies : int
        Bodies of that size that may be held at once, by all requests together.
    images, frames : int
        At most in one request, and in one file.
    queue : int
        Images waiting at which further requests are refused.
    batch : int
        Images that go through the graph at once, at most.
    timeout : float
        Seconds until a request that was received whole is given up.
    connections : int
        At once, at most.
    header_seconds, body_seconds : float
        Within which a request's header must have arrived, and its body must go on arriving: the latter grows
        by a second for each `body_rate` bytes. Source: Apache's mod_reqtimeout.
    body_rate : int
        Bytes a second.
    drain_seconds : float
        That requests under way have when the service is told to end.
    token_file : Path or None
        One bearer token a line; None asks for none.
    state : Path or None
        Folder for feedback and drift; None keeps neither.
    watch : bool
        Whether a changed bundle is loaded by itself.
    watch_seconds : float
        How often is looked.
    hosts : tuple of str or None
        Names by which the service may be called (the Host header, without port); None allows any.
    """

    bundle: Path
    threads: int = os.cpu_count() or 1
    max_pixels: int = 30 * MEGABYTE
    body_bytes: int = 128 * MEGABYTE
    bodies: int = 2
    images: int = 64
    frames: int = 512
    queue: int = 256
    batch: int = 4
    timeout: float = 30.0
    connections: int = 2000
    header_seconds: float = 10.0
    body_seconds: float = 10.0
    body_rate: int = 262_144
    drain_seconds: float = 35.0
    token_file: Path | None = None
    state: Path | None = None
    watch: bool = False
    watch_seconds: float = 2.0
    hosts: tuple[str, ...] | None = None
