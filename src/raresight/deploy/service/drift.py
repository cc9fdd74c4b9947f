"""``GET /v1/drift``, and the same figures for Prometheus."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from raresight.deploy.drift import ALARMS
from raresight.deploy.service.problems import Problem
from raresight.deploy.service.schemas import Drifted, problems
from raresight.deploy.service.service import Service

router = APIRouter()


@router.get(
    "/v1/drift",
    summary="Whether new images are like those of training",
    responses={200: {"model": Drifted}, **problems(409)},
    response_model=None,
)
async def drift(request: Request) -> Response:
    """Hold the last images to the training images: scores, features, prevalence, alarms."""
    service: Service = request.app.state.service
    if service.drift is None:
        raise Problem(409, "the bundle in use has no reference to hold images to; make it anew")
    await service.engine.call(service.settle)
    status = await service.engine.call(service.drift.status)
    return Response(json.dumps(status), media_type="application/json")


class DriftFigures(Collector):
    """Gives Prometheus what `DriftMonitor.status` says, when it asks.

    Parameters
    ----------
    service : Service
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    def describe(self) -> list[Metric]:
        """Name nothing beforehand."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Give a gauge a figure; those that are not known yet are left out."""
        if self._service.drift is None:
            return
        status = self._service.drift.status()
        for name, meaning, value in figures(status):
            if value is not None:
                yield GaugeMetricFamily(f"raresight_drift_{name}", meaning, value=value)
        alarms = GaugeMetricFamily("raresight_drift_alarm", "1 while the alarm is raised", labels=["alarm"])
        raised = {alarm["name"] for alarm in status["alarms"]}
        for name in ALARMS:
            alarms.add_metric([name], float(name in raised))
        yield alarms


def figures(status: Mapping[str, Any]) -> Iterator[tuple[str, str, float | None]]:
    """Give each figure's name, its meaning, and its value."""
    scores, share = status["scores"] or {}, status["prevalence"] or {}
    features = status["features"] or {}
    distance = features.get("distance") or {}
    yield "window_images", "Images looked at", status["window"]
    yield "score_ks", "Kolmogorov-Smirnov distance of scores, prevalence aside", scores.get("ks")
    yield "score_psi", "Population stability index of scores, prevalence aside", scores.get("psi")
    yield "score_psi_as_trained", "The same at the training prevalence", scores.get("psi_as_trained")
    yield "feature_mmd_squared", "Squared maximum mean discrepancy of features", features.get("mmd")
    yield "feature_p", "How often it is as large by chance", features.get("p")
    yield "feature_distance", "Mean Mahalanobis distance from the training images", distance.get("mean")
    yield "feature_distance_expected", "What it should be", distance.get("expected")
    yield "prevalence", "Estimated share of anomalies", share.get("estimate")
    yield "prevalence_low", "Lower end of its 95 % interval", share.get("low")
    yield "prevalence_high", "Upper end of its 95 % interval", share.get("high")
