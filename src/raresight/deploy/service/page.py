"""The page at ``/``, and its files below ``/assets/``: read once, served as they are."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Request, Response

from raresight.deploy.service.problems import Problem

router = APIRouter()

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@router.get("/", include_in_schema=False)
async def page(request: Request) -> Response:
    """Give the page."""
    return _file(request, "index.html")


@router.get("/assets/{name}", include_in_schema=False)
async def asset(request: Request, name: str) -> Response:
    """Give a file of the page."""
    return _file(request, name)


def _file(request: Request, name: str) -> Response:
    if name not in assets():
        raise Problem(404, "there is nothing at this path")
    content, kind, tag = assets()[name]
    # Asked again each time, so that a page never meets another version's files.
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=kind, headers=headers)


@cache
def assets() -> dict[str, tuple[bytes, str, str]]:
    """Give the page's files: name → content, media type, entity tag."""
    found = {}
    for each in files("raresight.deploy.service").joinpath("static").iterdir():
        suffix = each.name[each.name.rfind(".") :]
        if suffix in TYPES:
            content = each.read_bytes()
            found[each.name] = content, TYPES[suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return found
