"""Counts and times of the requests, under TF Serving's names."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import grpc
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest

from tfdrift.serving.refusal import Refusal

CONTENT_TYPE = CONTENT_TYPE_LATEST
REQUEST_COUNT = ":tensorflow:serving:request_count"
BATCH_COUNT = ":tensorflow:serving:batching_session:wrapped_run_count"
MICROSECONDS = tuple(10 * 1.8**power for power in range(33))
"""TF Serving's buckets: from 10 microseconds to about 20 minutes."""
QUEUING_MICROSECONDS = tuple(100 * 1.2**power for power in range(52))
"""TF Serving's buckets of what waits for a batch: from 100 microseconds to about 1 second."""


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

        self._batches = Counter(BATCH_COUNT, "The number of batches that were run.", registry=self._registry)
        self._queuing_latency = Histogram(
            ":tensorflow:serving:batching_session:queuing_latency",
            "Wall time in microseconds that a request waited for its batch to be run.",
            ["thread_pool_name"],
            buckets=QUEUING_MICROSECONDS,
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

    def batch(self, thread_pool_name: str, waited: Sequence[float]) -> None:
        """Count a batch.

        Args:
            thread_pool_name: of the threads that run batches.
            waited: how many seconds each of its requests waited.
        """
        self._batches.inc()
        for seconds in waited:
            self._queuing_latency.labels(thread_pool_name).observe(seconds * 1e6)

    def page(self) -> bytes:
        """Return everything in Prometheus' text format."""
        page = generate_latest(self._registry).decode()
        for name in (REQUEST_COUNT, BATCH_COUNT):
            # The library ends the name of every counter in _total, TF Serving does not.
            page = page.replace(f"{name}_total", name)
        return page.encode()


def _microseconds_since(start: float) -> float:
    return (time.perf_counter() - start) * 1e6
