"""``POST /v1/predict``."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fastapi import APIRouter, Request, Response

from raresight.deploy.prediction import Prediction
from raresight.deploy.service.bodies import Upload, check_format, received
from raresight.deploy.service.opened import Opened
from raresight.deploy.service.problems import Problem
from raresight.deploy.service.schemas import Predictions, image_body, problems
from raresight.deploy.service.scoring import cut_of, score_upload, while_there
from raresight.deploy.service.service import Service

router = APIRouter()

THRESHOLD = {
    "name": "threshold",
    "in": "query",
    "required": False,
    "description": "A rule that the bundle knows, such as youden, or a score.",
    "schema": {"type": "string", "default": "default"},
    "example": "default",
}


@router.post(
    "/v1/predict",
    summary="Score images",
    responses={200: {"model": Predictions}, **problems(400, 408, 413, 415, 422, 429, 503)},
    response_model=None,
    openapi_extra={"parameters": [THRESHOLD], **image_body(several=True)},
)
async def predict(request: Request) -> Response:
    """Score one image or several; one that cannot be read never stops the others."""
    service: Service = request.app.state.service
    service.admit()
    opened = service.engine.opened
    cut = cut_of(opened, request)
    async with received(request, service) as uploads:
        service.admit()  # others may have filled the queue while the body came in
        entries = await while_there(request, service, _entries(service, opened, uploads, cut))
    request.scope["images"] = len(entries)
    return Response(json.dumps({"predictions": entries}), media_type="application/json")


async def _entries(
    service: Service, opened: Opened, uploads: list[Upload], cut: float
) -> list[dict[str, Any]]:
    if len(uploads) == 1:
        found = await score_upload(service, opened, uploads[0], cut)
        if len(found) == 1 and found[0][1].error is not None:
            raise Problem(422, found[0][1].error)
        return [entry(id, one) for id, one in found]
    answers = await asyncio.gather(*(_one_of_several(service, opened, upload, cut) for upload in uploads))
    return [each for answer in answers for each in answer]


async def _one_of_several(
    service: Service, opened: Opened, upload: Upload, cut: float
) -> list[dict[str, Any]]:
    try:
        check_format(upload.content)
        return [entry(id, one) for id, one in await score_upload(service, opened, upload, cut)]
    except Problem as problem:
        return [{"file": upload.name, "error": problem.as_dict()}]


def entry(id: str, one: Prediction) -> dict[str, Any]:
    """Give what is said of one image, or what is wrong with it."""
    if one.error is not None:
        return {"file": one.file, "error": Problem(422, one.error).as_dict()}
    return {"id": id, **one.as_dict()}
