"""Counts and times of the requests, under TF Serving's names."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest

from tfdrift.serving.refusal import Refusal

CONTENT_TYPE = CONTENT_TYPE_LATEST
REQUEST_COUNT = ":tensorflow:serving:request_count"
MICROSECONDS = tuple(10 * 1.8**power for power in range(33))
"""TF Serving's buckets: from 10 microseconds to about 20 minutes."""


class Monitoring:
    """What has been asked of a server so far."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._count = Counter(
            REQUEST_COUNT, "The total number of requests.", ["model_name", "status"], registry=self._registry
        )
        self._request_latency = Histogram(
            ":tensorflow:serving:request_latency",
            "Wall time of a request in microseconds.",
            ["model_name", "API", "entrypoint"],
            buckets=MICROSECONDS,
            registry=self._registry,
        )
        self._runtime_latency = Histogram(
            ":tensorflow:serving:runtime_latency",
            "Wall time of the graph in microseconds.",
            ["model_name", "API", "runtime"],
            buckets=MICROSECONDS,
            registry=self._registry,
        )

    @contextmanager
    def request(self, model_name: str, entrypoint: str, api: str = "Predict") -> Iterator[None]:
        """Count and time a request.

        Args:
            model_name: of a model that is served; a client could otherwise fill the memory with names.
            entrypoint: GRPC or REST.
            api: Predict, Classify, Regress or MultiInference.
        """
        start, status = time.perf_counter(), grpc.StatusCode.UNKNOWN
        try:
            yield
            status = grpc.StatusCode.OK
            self._request_latency.labels(model_name, api, entrypoint).observe(_microseconds_since(start))
        except Refusal as refusal:
            status = refusal.code
            raise
        finally:
            self._count.labels(model_name, status.name).inc()

    @contextmanager
    def runtime(self, model_name: str) -> Iterator[None]:
        """Time a run of the graph."""
        start = time.perf_counter()
        yield
        self._runtime_latency.labels(model_name, "Predict", "TF1").observe(_microseconds_since(start))

    def page(self) -> bytes:
        """Return everything in Prometheus' text format."""
        # The library ends the name of every counter in _total, TF Serving does not.
        return generate_latest(self._registry).replace(f"{REQUEST_COUNT}_total".encode(), REQUEST_COUNT.encode())


def _microseconds_since(start: float) -> float:
    return (time.perf_counter() - start) * 1e6
