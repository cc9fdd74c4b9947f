"""``POST /v1/feedback``."""

from __future__ import annotations

import asyncio
import json

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from raresight.deploy.feedback import FeedbackFullError, UnknownImageError
from raresight.deploy.service.problems import Problem, unavailable
from raresight.deploy.service.schemas import Label, problems
from raresight.deploy.service.service import Feedback, Service
from raresight.errors import RunError

router = APIRouter()

MOST_BYTES = 4096
"""Of a body; a label takes a hundred."""

_BODY = {"required": True, "content": {"application/json": {"schema": Label.model_json_schema()}}}


@router.post(
    "/v1/feedback",
    status_code=204,
    summary="Say what an image turned out to be",
    responses={**problems(400, 404, 408, 409, 413, 422, 503, 507)},
    response_model=None,
    openapi_extra={"requestBody": _BODY},
)
async def feedback(request: Request) -> Response:
    """Keep a label for the image that got this id with its score; a later one takes its place."""
    service: Service = request.app.state.service
    if service.feedback is None:
        raise Problem(409, "this service keeps no feedback; start it with --state")
    said = _parse(await _body(request, service.settings.body_seconds))
    await asyncio.to_thread(_keep, service.feedback, said)
    return Response(status_code=204)


async def _body(request: Request, seconds: float) -> bytes:
    content = b""
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                content += part
                if len(content) > MOST_BYTES:
                    raise Problem(413, "the body is larger than a label can be", {"Connection": "close"})
    except TimeoutError:
        raise Problem(408, "the body came too slowly", {"Connection": "close"}) from None
    return content


def _parse(content: bytes) -> Label:
    try:
        return Label.model_validate(json.loads(content), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the body"
        raise Problem(422, f"{where}: {first['msg']}") from None
    except (ValueError, RecursionError):
        raise Problem(400, 'the body is no JSON; send {"id": …, "label": …}') from None


def _keep(store: Feedback, said: Label) -> None:
    try:
        store.label(said.id, said.label)
    except UnknownImageError as error:
        raise Problem(404, str(error)) from None
    except FeedbackFullError as error:
        raise Problem(507, str(error)) from None
    except RunError:
        raise unavailable("feedback cannot be kept at the moment; try again later") from None
