import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tfdrift.serving.monitoring import Monitoring
from tfdrift.serving.refusal import Refusal


@pytest.fixture
def monitoring():
    return Monitoring()


def value(monitoring, sample):
    """Return the value of one sample, by its name and labels as they are written."""
    lines = dict(line.rsplit(" ", 1) for line in monitoring.page().decode().splitlines() if not line.startswith("#"))
    return float(lines[sample])


def ask(monitoring, error=None):
    with monitoring.request("m", "GRPC"), monitoring.runtime("m"):
        if error:
            raise error


def test_names_and_types_are_tf_servings(monitoring):
    ask(monitoring)
    families = text_string_to_metric_families(monitoring.page().decode())
    kinds = {family.name: family.type for family in families if not family.name.endswith("_created")}
    assert kinds == {
        ":tensorflow:serving:request_count": "counter",
        ":tensorflow:serving:request_latency": "histogram",
        ":tensorflow:serving:runtime_latency": "histogram",
        ":tensorflow:serving:batching_session:wrapped_run_count": "counter",
        ":tensorflow:serving:batching_session:queuing_latency": "histogram",
    }


def test_batches_are_counted_and_what_their_requests_waited(monitoring):
    monitoring.batch("batch_threads", [0.001, 0.002])
    name = ":tensorflow:serving:batching_session:"
    assert value(monitoring, f"{name}wrapped_run_count") == 1
    labels = '{thread_pool_name="batch_threads"}'
    assert value(monitoring, f"{name}queuing_latency_count{labels}") == 2
    assert value(monitoring, f"{name}queuing_latency_sum{labels}") == pytest.approx(3000)


def test_requests_are_counted_by_model_and_status(monitoring):
    ask(monitoring)
    ask(monitoring)
    with pytest.raises(Refusal):
        ask(monitoring, Refusal(grpc.StatusCode.INVALID_ARGUMENT, ""))
    assert value(monitoring, ':tensorflow:serving:request_count{model_name="m",status="OK"}') == 2
    assert value(monitoring, ':tensorflow:serving:request_count{model_name="m",status="INVALID_ARGUMENT"}') == 1


def test_a_request_that_fails_without_a_refusal_is_counted_as_unknown(monitoring):
    with pytest.raises(ZeroDivisionError):
        ask(monitoring, ZeroDivisionError())
    assert value(monitoring, ':tensorflow:serving:request_count{model_name="m",status="UNKNOWN"}') == 1


def test_only_requests_that_were_answered_are_timed(monitoring):
    ask(monitoring)
    with pytest.raises(Refusal):
        ask(monitoring, Refusal(grpc.StatusCode.NOT_FOUND, ""))
    name = ":tensorflow:serving:request_latency_count"
    assert value(monitoring, name + '{API="Predict",entrypoint="GRPC",model_name="m"}') == 1
    name = ":tensorflow:serving:runtime_latency_count"
    assert value(monitoring, name + '{API="Predict",model_name="m",runtime="TF1"}') == 1


def test_times_are_in_microseconds(monitoring, monkeypatch):
    clock = iter([10.0, 10.25])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    with monitoring.runtime("m"):
        pass
    name = ":tensorflow:serving:runtime_latency_sum"
    assert value(monitoring, name + '{API="Predict",model_name="m",runtime="TF1"}') == 250_000
