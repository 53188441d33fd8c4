"""Numbers for Prometheus. Labels are routes, classes and lanes; never anything a citizen wrote."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from classifier import Prediction

_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SIZES = (1, 2, 4, 8, 16, 32, 64)
_PROBABILITIES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1)


class Metrics:
    """The metrics of one worker process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self.requests = Counter(
            "weilei_requests", "请求数", ("method", "route", "status"), registry=r
        )
        self.latency = Histogram(
            "weilei_request_seconds", "一个请求用了几秒", ("route",), buckets=_SECONDS, registry=r
        )
        self.queue = Gauge("weilei_queue_characters", "排队的字数", registry=r)
        self.batch = Histogram("weilei_batch_texts", "一批的条数", buckets=_SIZES, registry=r)
        self.lanes = Counter("weilei_lanes", "通道", ("lane",), registry=r)
        self.classes = Counter("weilei_classes", "类别", ("id",), registry=r)
        self.confidence = Histogram(
            "weilei_confidence", "置信度", buckets=_PROBABILITIES, registry=r
        )

    def saw(self, prediction: Prediction) -> None:
        """Count one prediction."""
        self.lanes.labels(prediction.lane).inc()
        self.classes.labels(prediction.primary_id).inc()
        self.confidence.observe(prediction.probability)

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self.registry)
