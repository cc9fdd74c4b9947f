"""``GET /v1/model``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response

from raresight.deploy.service.opened import Opened
from raresight.deploy.service.schemas import Model, problems
from raresight.deploy.service.service import Service
from raresight.deploy.service.settings import ServiceSettings

router = APIRouter()

CARD = "model_card.md"

TOLD = ("task", "labels", "input", "evidence", "data", "versions")
"""What is passed on from ``bundle.json`` as it is."""


@router.get(
    "/v1/model",
    summary="What is served",
    responses={200: {"model": Model}, **problems()},
    response_model=None,
)
async def model(request: Request) -> Response:
    """Say what the bundle in use is, what it was shown to do, and what a request may hold."""
    service: Service = request.app.state.service
    found = describe(service.engine.opened, service.settings)
    found["keeps"] = {"drift": service.drift is not None, "feedback": service.feedback is not None}
    content = json.dumps(found)
    return Response(content, media_type="application/json")


def describe(opened: Opened, settings: ServiceSettings) -> dict[str, Any]:
    """Give what the route says."""
    predictor = opened.predictor
    facts = predictor.facts
    told = {key: facts.content.get(key) for key in TOLD}
    return {
        "name": facts.name,
        **told,
        "thresholds": dict(facts.thresholds),
        "calibration": _calibration(facts.calibration),
        "card": predictor.files.get(CARD, b"").decode("utf-8", "replace"),
        "has_heat": predictor.has_heat,
        "heat_method": None if facts.explain is None else facts.explain.method,
        "bundle": opened.digest,
        "loaded_at": opened.loaded_at,
        "limits": {
            "body_bytes": settings.body_bytes,
            "max_pixels": settings.max_pixels,
            "images": settings.images,
            "frames": settings.frames,
        },
    }


def _calibration(told: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Say how scores become probabilities, and at which share of anomalies these hold."""
    return None if told is None else {key: told.get(key) for key in ("method", "stated_at")}
