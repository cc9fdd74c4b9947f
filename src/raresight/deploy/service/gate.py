"""What every request passes: tokens, security headers, a log line, metrics, no error left unanswered."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from itertools import count
from secrets import token_hex
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from raresight.deploy.service.logs import log
from raresight.deploy.service.problems import Gone, Problem
from raresight.deploy.service.service import Service

FREE = ("/", "/healthz", "/readyz", "/favicon.ico")
"""Paths that need no token: the page's files hold nothing but the page."""

FREE_BELOW = "/assets/"

POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)

HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
NO_STORE = (b"cache-control", b"no-store")

METHODS = ("GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS")
"""What is logged by its name; any other could hold anything."""

QUIET = ("/healthz", "/readyz", "/metrics")
"""Paths that are asked for all day: logged only where they fail."""


class Gate:
    """ASGI middleware around the whole application.

    Parameters
    ----------
    app : ASGI application
    service : Service
    direct : mapping
        (Method, path) → the route that is called without the application's own ways to it: on the path on
        which every tenth of a millisecond counts.
    """

    def __init__(
        self, app: ASGIApp, service: Service, direct: Mapping[tuple[str, str], APIRoute] | None = None
    ) -> None:
        self.app, self.service, self.direct = app, service, direct or {}
        start = token_hex(4)
        self._ids = (f"{start}-{number}" for number in count(1))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = _Passing(scope, send, next(self._ids))
        self.service.under_way += 1
        try:
            refusal = self._refusal(scope)
            route = self.direct.get((scope["method"], scope["path"]))
            if refusal is None and route is not None:
                await _straight(route, scope, receive, request.send)
            elif refusal is None:
                await self.app(scope, receive, request.send)
            else:
                await refusal.response()(scope, receive, request.send)
        except Gone:
            pass
        except Exception as error:
            log("failed", logging.ERROR, request=request.id, error=type(error).__name__, where=_where(error))
            if request.status is not None:
                raise
            await Problem(500, "the service failed at this request").response()(scope, receive, request.send)
        finally:
            self.service.under_way -= 1
            self._note(scope, request)

    def _refusal(self, scope: Scope) -> Problem | None:
        path = scope["path"]
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        hosts = self.service.settings.hosts
        if hosts is not None and host not in hosts and host.rsplit(":", 1)[0] not in hosts:
            return Problem(421, "the service is called by a name that is not its own")
        origin = headers.get(b"origin")
        if origin is not None and origin.decode("latin-1").partition("://")[2] != host:
            return Problem(403, "the request comes from another site's page")
        tokens = self.service.tokens
        if tokens is None or path in FREE or path.startswith(FREE_BELOW):
            return None
        if tokens.accepts(headers.get(b"authorization", b"")):
            return None
        return Problem(
            401, "send a token of this service: Authorization: Bearer …", {"WWW-Authenticate": "Bearer"}
        )

    def _note(self, scope: Scope, request: _Passing) -> None:
        status = str(request.status or 499)
        seconds = time.perf_counter() - request.start
        route = getattr(scope.get("route"), "path", "none")
        metrics = self.service.metrics
        metrics.seconds.labels(route, status).observe(seconds)
        if status >= "400":
            metrics.errors.labels(status).inc()
        elif route in QUIET:
            return
        log(
            "request",
            request=request.id,
            method=scope["method"] if scope["method"] in METHODS else "other",
            route=route,
            status=int(status),
            ms=round(1000 * seconds, 2),
            images=scope.get("images", 0),
        )


async def _straight(route: APIRoute, scope: Scope, receive: Receive, send: Send) -> None:
    """Call a route that takes the request alone."""
    scope["route"] = route
    try:
        response = await route.endpoint(Request(scope, receive))
    except Problem as problem:
        response = problem.response()
    await response(scope, receive, send)


class _Passing:
    """A request on its way: its start, and the status of its answer once there is one."""

    __slots__ = ("_no_store", "_send", "id", "start", "status")

    def __init__(self, scope: Scope, send: Send, id: str) -> None:
        self.id = id
        self.start = time.perf_counter()
        self.status: int | None = None
        self._send = send
        path = scope["path"]
        self._no_store = path not in FREE and not path.startswith(FREE_BELOW)

    async def send(self, message: Message) -> None:
        """Send on, with the headers that every answer has."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers: list[Any] = message.setdefault("headers", [])
            headers += HEADERS
            headers.append((b"x-request-id", self.id.encode()))
            if self._no_store:
                headers.append(NO_STORE)
        await self._send(message)


def _where(error: BaseException) -> str:
    """Name the place in the code, and nothing of its data."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}"
