"""``GET /healthz``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from raresight.deploy.service.metrics import MEDIA_TYPE
from raresight.deploy.service.problems import unavailable
from raresight.deploy.service.schemas import State, problems
from raresight.deploy.service.service import Service

router = APIRouter()


@router.get(
    "/healthz", summary="Whether the process lives", responses={200: {"model": State}}, response_model=None
)
async def healthz() -> Response:
    """Answer."""
    return Response(b'{"status": "ok"}', media_type="application/json")


@router.get(
    "/readyz",
    summary="Whether images are taken",
    responses={200: {"model": State}, **problems(503)},
    response_model=None,
)
async def readyz(request: Request) -> Response:
    """Answer 200 while a tested bundle is in use, 503 once the service is told to end."""
    service: Service = request.app.state.service
    if service.draining:
        raise unavailable("the service is ending")
    return Response(b'{"status": "ready"}', media_type="application/json")


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    responses=problems(),
    response_class=PlainTextResponse,
    response_model=None,
)
async def metrics(request: Request) -> Response:
    """Give figures in Prometheus' text format."""
    service: Service = request.app.state.service
    figures = service.metrics
    figures.queue.set(service.engine.pending)
    figures.under_way.set(service.under_way)
    figures.bodies.set(service.room.held)
    # Drift is reckoned when it is asked for, which takes longer than other requests may wait.
    await asyncio.to_thread(service.settle)
    return Response(await asyncio.to_thread(figures.text), media_type=MEDIA_TYPE)
