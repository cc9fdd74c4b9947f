"""What went wrong, as a client is told it: problem details, RFC 9457."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):  # noqa: N818 - the RFC's word
    """A request that is not answered.

    Parameters
    ----------
    status : int
        Of HTTP.
    detail : str
        One sentence for the client. It quotes no name, no pixel and no value of a file.
    headers : mapping, optional
        Sent with it.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})

    def as_dict(self) -> dict[str, Any]:
        """Give ``type``, ``title``, ``status`` and ``detail``."""
        title = HTTPStatus(self.status).phrase
        return {"type": "about:blank", "title": title, "status": self.status, "detail": self.detail}

    def response(self) -> Response:
        """Give it as a response."""
        content = json.dumps(self.as_dict()).encode()
        return Response(content, self.status, self.headers, MEDIA_TYPE)


class Gone(Exception):  # noqa: N818
    """The client has left: there is nobody to answer."""


def busy(detail: str, seconds: int = 1) -> Problem:
    """Refuse a request for now: 429 with Retry-After."""
    return Problem(429, detail, {"Retry-After": str(seconds)})


def unavailable(detail: str, seconds: int = 5) -> Problem:
    """Refuse a request for a while: 503 with Retry-After."""
    return Problem(503, detail, {"Retry-After": str(seconds)})


def answer_problems(app: FastAPI) -> None:
    """Have an application answer every error with problem details."""

    @app.exception_handler(Problem)
    async def _own(request: Request, error: Problem) -> Response:
        return error.response()

    @app.exception_handler(HTTPException)
    async def _routing(request: Request, error: HTTPException) -> Response:
        details = {404: "there is nothing at this path", 405: "this path does not take this method"}
        headers = dict(error.headers or {})
        return Problem(
            error.status_code, details.get(error.status_code, str(error.detail)), headers
        ).response()

    @app.exception_handler(RequestValidationError)
    async def _validation(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or "the body"
        return Problem(422, f"{where}: {first['msg']}").response()
