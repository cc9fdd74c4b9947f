"""The application: routes, the gate around them, and what they share."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from raresight import __version__
from raresight.deploy.service import drift, explain, feedback, health, model, page, predict
from raresight.deploy.service.auth import Tokens
from raresight.deploy.service.drift import DriftFigures
from raresight.deploy.service.engine import Engine
from raresight.deploy.service.gate import Gate
from raresight.deploy.service.kept import keeping, open_drift, open_feedback
from raresight.deploy.service.metrics import Metrics
from raresight.deploy.service.opened import Opened, open_bundle
from raresight.deploy.service.problems import answer_problems
from raresight.deploy.service.reload import Reloader
from raresight.deploy.service.schemas import ProblemDetails
from raresight.deploy.service.service import Room, Service, score_bounds
from raresight.deploy.service.settings import ServiceSettings

ROUTES = (predict, explain, feedback, drift, model, health, page)
"""Modules, each with a ``router``."""


def create_app(settings: ServiceSettings) -> FastAPI:
    """Open a bundle and make the application that serves it.

    Parameters
    ----------
    settings : ServiceSettings

    Returns
    -------
    FastAPI
        Its ``state.service`` is what all routes share.

    Raises
    ------
    BundleError
        If the bundle cannot be used.
    OptionError
        If the token file cannot be used.
    """
    service = make_service(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        reloader = Reloader(service)
        app.state.reloader = reloader
        async with reloader.watching(), keeping(service):
            yield
        service.engine.close()

    # The pages that FastAPI brings load their scripts from elsewhere.
    app = FastAPI(
        title="raresight",
        version=__version__,
        summary="Scores medical images",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    answer_problems(app)
    for module in ROUTES:
        app.include_router(module.router)
    hot = [route for route in predict.router.routes if isinstance(route, APIRoute)]
    direct = {("POST", route.path): route for route in hot}
    app.add_middleware(Gate, service=service, direct=direct)
    describe(app, tokens=service.tokens is not None)
    return app


def make_service(settings: ServiceSettings) -> Service:
    """Open a bundle, and gather what the routes share."""
    tokens = None if settings.token_file is None else Tokens(settings.token_file)
    opened = open_bundle(settings.bundle, threads=settings.threads, max_pixels=settings.max_pixels)
    metrics = Metrics(_bounds(opened))
    metrics.name_model(opened.predictor.facts.name, opened.digest)
    engine = Engine(opened, workers=settings.threads, batch=settings.batch, queue=settings.queue)
    service = Service(settings, engine, metrics, tokens, Room(settings.bodies * settings.body_bytes))
    service.feedback = open_feedback(settings.state)
    service.drift = open_drift(opened, settings.state)
    metrics.registry.register(DriftFigures(service))
    engine.observe = service.observe
    return service


def _bounds(opened: Opened) -> list[float]:
    facts = opened.predictor.facts
    return score_bounds(list(facts.thresholds.values()), quantiles(opened))


def quantiles(opened: Opened) -> list[float]:
    """Give what the training images scored, as far as the bundle says it."""
    told = json.loads(opened.predictor.files.get("reference.json", b"{}")).get("scores") or {}
    return [value for name in ("normal", "anomalous") for value in told.get(name, {}).get("quantiles", [])]


def describe(app: FastAPI, *, tokens: bool) -> None:
    """Complete the API's description: the problem details, and tokens where they are asked for."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = plain()
            parts = found.setdefault("components", {})
            schema = ProblemDetails.model_json_schema()
            parts.setdefault("schemas", {}).setdefault("ProblemDetails", schema)
            if tokens:
                parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
                found["security"] = [{"token": []}]
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
