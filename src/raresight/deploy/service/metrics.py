"""What Prometheus is told; no label holds anything that a client sent."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from raresight.deploy.prediction import Prediction

MEDIA_TYPE = CONTENT_TYPE_LATEST

SECONDS = (0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Upper bounds of the latency buckets."""


class Metrics:
    """Counters of one service, in a registry of their own.

    Parameters
    ----------
    score_bounds : iterable of float
        Upper bounds of the score buckets.
    """

    def __init__(self, score_bounds: Iterable[float]) -> None:
        self.registry = own = CollectorRegistry()
        ProcessCollector(registry=own)
        self.seconds = Histogram(
            "raresight_request_seconds",
            "From a request's header to the end of its answer",
            ("route", "status"),
            buckets=SECONDS,
            registry=own,
        )
        self.under_way = Gauge("raresight_requests_under_way", "Requests being answered", registry=own)
        self.queue = Gauge("raresight_queue_images", "Images waiting for their score", registry=own)
        self.bodies = Gauge("raresight_body_bytes", "Bytes of bodies that are held", registry=own)
        self.batch = Histogram(
            "raresight_batch_images", "Images in a batch", buckets=(1, 2, 4, 8, 16, 32, 64), registry=own
        )
        self.inference = Histogram(
            "raresight_batch_seconds", "Scoring a batch", buckets=SECONDS, registry=own
        )
        self.decode = Histogram(
            "raresight_decode_seconds", "Decoding and preprocessing an image", buckets=SECONDS, registry=own
        )
        self.score = Histogram("raresight_score", "Scores", buckets=tuple(score_bounds), registry=own)
        self.decisions = Counter("raresight_decisions", "Decisions", ("decision",), registry=own)
        self.errors = Counter("raresight_errors", "Requests that failed", ("status",), registry=own)
        self.unreadable = Counter(
            "raresight_unreadable_images", "Images that could not be scored", registry=own
        )
        self.reloads = Counter("raresight_reloads", "Bundles loaded anew", ("outcome",), registry=own)
        self.model = Gauge("raresight_model_info", "The bundle in use", ("name", "bundle"), registry=own)
        self.loaded = Gauge("raresight_model_loaded_seconds", "When, since 1970", registry=own)

    def name_model(self, name: str, digest: str) -> None:
        """Say which bundle is in use."""
        self.model.clear()
        self.model.labels(name, digest).set(1)
        self.loaded.set_to_current_time()

    def count(self, found: Iterable[Prediction]) -> None:
        """Count what was said of images."""
        for one in found:
            if one.score is None:
                self.unreadable.inc()
                continue
            self.score.observe(one.score)
            self.decisions.labels(one.decision).inc()

    def text(self) -> bytes:
        """Give all in Prometheus' text format."""
        return generate_latest(self.registry)
