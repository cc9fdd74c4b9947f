"""``POST /v1/explain``."""

from __future__ import annotations

import json
from secrets import token_hex
from typing import Any
from weakref import WeakKeyDictionary

from fastapi import APIRouter, Request, Response

from raresight.deploy.explained import Background, Explained, explain_one
from raresight.deploy.predictor import Predictor
from raresight.deploy.service.bodies import Upload, received
from raresight.deploy.service.opened import Opened
from raresight.deploy.service.predict import THRESHOLD, entry
from raresight.deploy.service.problems import Problem
from raresight.deploy.service.schemas import Explanation, image_body, problems
from raresight.deploy.service.scoring import cut_of, refusing, while_there
from raresight.deploy.service.service import Service
from raresight.images.readers import count_frames

router = APIRouter()

FRAME = {
    "name": "frame",
    "in": "query",
    "required": False,
    "description": "Which frame, page or slice of a file that has several.",
    "schema": {"type": "integer", "minimum": 0, "default": 0},
}


@router.post(
    "/v1/explain",
    summary="Score one image, and show it with what there is to see",
    responses={200: {"model": Explanation}, **problems(400, 408, 413, 415, 422, 429, 503)},
    response_model=None,
    openapi_extra={"parameters": [THRESHOLD, FRAME], **image_body(several=False)},
)
async def explain(request: Request) -> Response:
    """Give an image's prediction, the image as it is to be shown, its heat, and training cases like it.

    The image takes no part in what is said about drift: who looks at an image has it scored before.
    """
    service: Service = request.app.state.service
    service.admit()
    engine = service.engine
    opened = engine.opened
    cut, frame = cut_of(opened, request), frame_of(request)
    async with received(request, service) as uploads:
        if len(uploads) != 1:
            raise Problem(422, "one image is explained at a time; send one file")
        work = engine.call(_answer, service, opened, uploads[0], frame, cut)
        with refusing():
            content = await while_there(request, service, work)
    request.scope["images"] = 1
    return Response(content, media_type="application/json")


def frame_of(request: Request) -> int:
    """Give the frame that a request asks for.

    Raises
    ------
    Problem
        422, if it is no number of a frame.
    """
    given = request.query_params.get("frame", "0")
    if not (given.isascii() and given.isdigit() and len(given) <= 9):
        raise Problem(422, "frame: send a whole number, counted from 0")
    return int(given)


def _answer(service: Service, opened: Opened, upload: Upload, frame: int, cut: float) -> bytes:
    """Give the body of the answer; in an engine's thread."""
    frames = count_frames(upload.content)
    name = upload.name if frames == 1 else f"{upload.name}#{frame}"
    predictor = opened.predictor
    found = explain_one(predictor, _background(predictor), name, upload.content, frame, cut)
    id = token_hex(16)
    _remember(service, id, opened.digest, found)
    answer: dict[str, Any] = {"prediction": entry(id, found.prediction), **found.rest}
    return json.dumps(answer, allow_nan=False).encode()


_OPENED: WeakKeyDictionary[Predictor, Background] = WeakKeyDictionary()


def _background(predictor: Predictor) -> Background:
    """Open what a bundle keeps of its training images, once, and only for as long as the bundle is used."""
    if predictor not in _OPENED:
        _OPENED[predictor] = Background(predictor.files)
    return _OPENED[predictor]


def _remember(service: Service, id: str, digest: str, found: Explained) -> None:
    one = found.prediction
    if service.feedback is None or one.score is None or one.decision is None or one.threshold is None:
        return
    service.feedback.remember(
        id,
        bundle=digest,
        score=one.score,
        probability=one.probability,
        decision=one.decision,
        threshold=one.threshold,
    )
