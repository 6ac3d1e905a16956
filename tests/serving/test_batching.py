import json
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.serving.test_server import client_of
from tests.serving.tiny_models import floats, save_half_plus, save_many
from tfdrift.errors import DataError, UsageError
from tfdrift.export.server_configs import write_server_configs
from tfdrift.serving.batching import Batching, BatchingParameters, batching_of_flags, read_batching_parameters
from tfdrift.serving.configuration import config_of
from tfdrift.serving.refusal import Refusal, invalid
from tfdrift.serving.served_models import ServedModels
from tfdrift.serving.server import Listening, Polling, running_server

LONG = 10_000_000  # microseconds; a test that waits for it has failed


class Doubling:
    """A model that doubles, and remembers the rows it was given at a time; -1 it refuses."""

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def __call__(self, inputs):
        self.seen.append(inputs["x"])
        if -1 in inputs["x"]:
            raise invalid("-1 is nothing to double")
        return {"y": 2 * inputs["x"]}


def ask_together(batching, model, *requests, of="m"):
    """Ask from a thread each, and return the answer or the refusal of each."""

    def ask(x):
        try:
            return batching.run(of, {"x": x}, model)["y"].tolist()
        except Refusal as refusal:
            return refusal.code, refusal.message

    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(ask, requests))


@contextmanager
def no_free_thread(batching):
    """Keep the only batch thread busy until the block ends."""
    running, go_on = threading.Event(), threading.Event()

    def busy(inputs):
        running.set()
        assert go_on.wait(20)
        return inputs

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(batching.run, "busy", {"x": floats(0)}, busy)
        assert running.wait(20)
        try:
            yield
        finally:
            go_on.set()
        asked.result()


def wait_until(holds):
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def waiting_rows(batching):
    with batching._lock:
        return sum(batch.rows for waiting in batching._waiting.values() for batch in waiting)


def test_requests_that_fill_a_batch_run_once_and_each_gets_its_own():
    batching, model = Batching(BatchingParameters(max_batch_size=6, batch_timeout_micros=LONG)), Doubling()
    requests = [floats(*range(start, start + 2)) for start in (0, 10, 20)]
    assert ask_together(batching, model, *requests) == [[0, 2], [20, 22], [40, 42]]
    (seen,) = model.seen
    assert sorted(seen.tolist()) == [0, 1, 10, 11, 20, 21]


def test_a_batch_that_is_not_filled_runs_when_its_time_is_over():
    batching, model = Batching(BatchingParameters(batch_timeout_micros=20_000)), Doubling()
    start = time.perf_counter()
    assert batching.run("m", {"x": floats(1)}, model)["y"].tolist() == [2]
    assert time.perf_counter() - start >= 0.02


def test_what_comes_while_a_batch_waits_for_a_thread_joins_it():
    batching, model = Batching(BatchingParameters(num_batch_threads=1)), Doubling()
    with ThreadPoolExecutor(3) as pool, no_free_thread(batching):
        asked = [pool.submit(batching.run, "m", {"x": floats(x)}, model) for x in (1, 2, 3)]
        wait_until(lambda: waiting_rows(batching) == 3)
    assert [one.result()["y"].tolist() for one in asked] == [[2], [4], [6]]
    assert len(model.seen) == 1


def test_as_many_batches_run_at_a_time_as_there_are_threads():
    """Pieces of a request, too: each waits here for the other two."""
    parameters = BatchingParameters(
        max_batch_size=12, max_execution_batch_size=4, enable_large_batch_splitting=True, num_batch_threads=3
    )
    together = threading.Barrier(3)

    def compute(inputs):
        together.wait(20)
        return inputs

    assert Batching(parameters).run("m", {"x": np.arange(12)}, compute)["x"].tolist() == list(range(12))


@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=4),
    largest=st.integers(1, 9),
    allowed=st.sets(st.integers(1, 8), max_size=3),
    split=st.booleans(),
)
@settings(max_examples=50, deadline=None)
def test_however_requests_are_joined_and_cut_each_gets_its_own(sizes, largest, allowed, split):
    allowed = tuple(sorted({size for size in allowed if size < largest} | {largest})) if allowed else ()
    parameters = BatchingParameters(
        max_batch_size=9 if split else largest, max_execution_batch_size=largest, enable_large_batch_splitting=split,
        allowed_batch_sizes=allowed, batch_timeout_micros=1000, max_enqueued_batches=36, num_batch_threads=2,
    )  # fmt: skip
    requests = [np.arange(size, dtype=np.float32) + 100 * n for n, size in enumerate(sizes) if split or size <= largest]
    model = Doubling()
    answers = ask_together(Batching(parameters), model, *requests) if requests else []
    assert answers == [(2 * x).tolist() for x in requests]
    assert all(len(seen) in (0, *(allowed or range(largest + 1))) for seen in model.seen)


def test_a_batch_is_filled_up_to_an_allowed_size_and_the_filling_is_not_answered():
    parameters = BatchingParameters(max_batch_size=8, allowed_batch_sizes=(2, 8))
    batching, model = Batching(parameters), Doubling()
    assert batching.run("m", {"x": floats(1, 2, 3)}, model)["y"].tolist() == [2, 4, 6]
    assert model.seen[0].tolist() == [1, 2, 3, 1, 1, 1, 1, 1]


def test_a_request_that_fails_does_not_spoil_the_others():
    batching, model = Batching(BatchingParameters(max_batch_size=3, batch_timeout_micros=LONG)), Doubling()
    good, bad, other = ask_together(batching, model, floats(1), floats(-1), floats(3))
    assert (good, other) == ([2], [6])
    assert bad == (grpc.StatusCode.INVALID_ARGUMENT, "-1 is nothing to double")


def test_a_surprise_is_told_to_everybody_and_the_next_request_is_answered():
    parameters = BatchingParameters(
        max_batch_size=6, max_execution_batch_size=2, enable_large_batch_splitting=True, batch_timeout_micros=LONG
    )
    batching = Batching(parameters)

    def surprised(_inputs):
        raise MemoryError

    def ask(*numbers):
        with pytest.raises(MemoryError):
            batching.run("m", {"x": floats(*numbers)}, surprised)

    with ThreadPoolExecutor(2) as pool:  # three batches, of which the first who comes leads two or all
        asked = [pool.submit(ask, 1, 2, 3), pool.submit(ask, 4, 5, 6)]
        for one in asked:
            one.result(30)
    assert batching.run("m", {"x": floats(1, 2)}, Doubling())["y"].tolist() == [2, 4]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"x": floats(*range(5))}, "Task size 5 is larger than maximum input batch size 4"),
        ({"x": np.array(1, np.float32)}, "input tensors must have at least one dimension"),
        ({"x": floats(1), "z": floats(1, 2)}, "input tensors must have equal 0th-dimension size"),
        ({}, "must have at least one input tensor"),
    ],
)
def test_what_cannot_be_joined_is_refused(inputs, message):
    with pytest.raises(Refusal, match=message) as refused:
        Batching(BatchingParameters(max_batch_size=4)).run("m", inputs, Doubling())
    assert refused.value.code == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda inputs: {"y": np.array(inputs["x"].sum())}, "Batched output tensor has 0 dimensions"),
        (lambda _inputs: {"y": floats(1, 2, 3)}, "does not equal the sum of the 0th dimension sizes"),
    ],
)
def test_outputs_that_are_not_row_by_row_are_refused(compute, message):
    with pytest.raises(Refusal, match=message) as refused:
        Batching(BatchingParameters()).run("m", {"x": floats(1, 2)}, compute)
    assert refused.value.code == grpc.StatusCode.FAILED_PRECONDITION


def test_a_large_request_is_cut_and_fills_what_is_open():
    parameters = BatchingParameters(
        max_batch_size=100, max_execution_batch_size=4, enable_large_batch_splitting=True, batch_timeout_micros=1000
    )
    batching, model = Batching(parameters), Doubling()
    assert batching.run("m", {"x": np.arange(10, dtype=np.float32)}, model)["y"].tolist() == list(range(0, 20, 2))
    assert [len(seen) for seen in model.seen] == [4, 4, 2]


def test_a_full_queue_refuses_and_another_signature_is_answered():
    parameters = BatchingParameters(max_batch_size=1, max_enqueued_batches=2, num_batch_threads=1)
    batching, model = Batching(parameters), Doubling()
    with ThreadPoolExecutor(3) as pool:
        with no_free_thread(batching):
            asked = [pool.submit(batching.run, "m", {"x": floats(x)}, model) for x in (1, 2)]
            wait_until(lambda: waiting_rows(batching) == 2)
            with pytest.raises(Refusal, match="currently 2 batches enqueued and max_enqueued_batches is 2") as refused:
                batching.run("m", {"x": floats(3)}, model)
            asked.append(pool.submit(batching.run, "other", {"x": floats(4)}, model))
            wait_until(lambda: waiting_rows(batching) == 3)
        assert [one.result()["y"].tolist() for one in asked] == [[2], [4], [8]]
    assert refused.value.code == grpc.StatusCode.UNAVAILABLE


def test_a_batch_tells_how_long_its_requests_waited():
    told = []
    batching = Batching(BatchingParameters(max_batch_size=2, batch_timeout_micros=LONG), told.append)
    ask_together(batching, Doubling(), floats(1), floats(2))
    ((first, second),) = told
    assert 0 <= second <= first < LONG / 1e6


@pytest.mark.parametrize("other", [np.ones((1, 3), np.float32), np.ones((1, 2), np.float64)])
def test_other_shapes_and_dtypes_run_apart(other):
    batching, model = Batching(BatchingParameters(max_batch_size=2, batch_timeout_micros=20_000)), Doubling()
    ask_together(batching, model, np.ones((1, 2), np.float32), other)
    assert sorted(seen.shape for seen in model.seen) == sorted([(1, 2), other.shape])


def test_inputs_of_variable_length_are_filled_up_if_that_is_asked_for():
    parameters = BatchingParameters(max_batch_size=2, batch_timeout_micros=LONG, pad_variable_length_inputs=True)
    batching, model = Batching(parameters), Doubling()
    first, second = ask_together(batching, model, np.array([[1, 2]], np.float32), np.array([[5, 6, 7]], np.float32))
    assert (first, second) == ([[2, 4, 2]], [[10, 12, 14]])
    assert len(model.seen) == 1


def test_what_export_writes_can_be_read(tmp_path):
    write_server_configs(tmp_path / "model")
    read = read_batching_parameters(tmp_path / "batching.config")
    assert read._replace(num_batch_threads=1) == BatchingParameters(
        max_batch_size=4096, batch_timeout_micros=1000, max_enqueued_batches=256, num_batch_threads=1,
        enable_large_batch_splitting=True, max_execution_batch_size=64,
    )  # fmt: skip
    assert read.largest == 64


def test_every_field_is_read(tmp_path):
    file = tmp_path / "batching.config"
    file.write_text(
        'thread_pool_name { value: "batch" } num_batch_threads { value: 3 } max_batch_size { value: 4 } '
        "allowed_batch_sizes: 2 allowed_batch_sizes: 4 pad_variable_length_inputs: true "
        "batch_timeout_micros { value: 0 }"
    )
    assert read_batching_parameters(file) == BatchingParameters(
        max_batch_size=4,
        num_batch_threads=3,
        allowed_batch_sizes=(2, 4),
        pad_variable_length_inputs=True,
        thread_pool_name="batch",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size: 4", "Error parsing text-format tensorflow.serving.BatchingParameters: 1:"),
        ("size { value: 4 }", "Error parsing text-format tensorflow.serving.BatchingParameters: 1:"),
        ("max_batch_size { value: 0 }", "max_batch_size must be positive; was 0"),
        ("batch_timeout_micros { value: -1 }", "batch_timeout_micros must be non-negative; was -1"),
        (
            "max_batch_size { value: 4 } allowed_batch_sizes: 2",
            "must match max_batch_size; last entry was 2; expected 4",
        ),
        ("allowed_batch_sizes: [4, 2]", "allowed_batch_sizes entries must be monotonically increasing"),
        (
            "enable_large_batch_splitting { value: true } max_execution_batch_size { value: 8 } allowed_batch_sizes: 4",
            "must be equal to max_execution_batch_size; last entry was 4; expected 8",
        ),
        (
            "enable_large_batch_splitting { value: true } max_execution_batch_size { value: 2000 }",
            r"max_execution_batch_size \(2000\) must not be above max_batch_size \(1000\)",
        ),
    ],
)
def test_parameters_that_do_not_go_together_are_refused(tmp_path, text, message):
    (tmp_path / "batching.config").write_text(text)
    with pytest.raises(DataError, match=message):
        read_batching_parameters(tmp_path / "batching.config")


def test_flags_say_whether_and_how_requests_are_joined(tmp_path):
    (tmp_path / "f").write_text("max_batch_size { value: 4 }")
    file = {"batching_parameters_file": str(tmp_path / "f")}
    assert batching_of_flags({}) is None
    assert batching_of_flags({"enable_batching": "true"}) == BatchingParameters()
    assert batching_of_flags({"enable_batching": "true", **file}) == BatchingParameters(max_batch_size=4)
    with pytest.raises(UsageError, match=r"is set without setting server_options\.enable_batching to true"):
        batching_of_flags(file)
    with pytest.raises(DataError, match="no batching parameters"):
        batching_of_flags({"enable_batching": "true", "batching_parameters_file": str(tmp_path / "none")})


def test_a_server_joins_the_requests_of_grpc_and_rest_and_keeps_signatures_apart(tmp_path):
    """Three requests fill a batch; meanwhile a wrong one is refused and another signature answers."""
    save_half_plus(tmp_path / "m" / "1")
    save_many(tmp_path / "many" / "1")
    config = config_of({name: tmp_path / name for name in ("m", "many")})
    parameters = BatchingParameters(max_batch_size=3, batch_timeout_micros=LONG)
    models = ServedModels(lambda _line: None)
    with running_server(models, config, where=Listening(), polling=Polling(), batching=parameters) as server:

        def by_grpc(x):
            with client_of(server) as client:
                return client.predict("m", {"x": floats(x)})["y"].tolist()

        def by_rest(x):
            url = f"http://127.0.0.1:{server.rest_port}/v1/models/m:predict"
            body = json.dumps({"instances": [{"x": x}]}).encode()
            with urllib.request.urlopen(urllib.request.Request(url, body)) as answer:
                return json.load(answer)["predictions"]

        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(by_grpc, 2), pool.submit(by_rest, 4)]
            with client_of(server) as client:
                with pytest.raises(Exception, match="expects float32 but int32"):
                    client.predict("m", {"x": np.array([1], np.int32)})
                many = client.predict("many", {"tag": np.array([b"a", b"b", b"c"], object)}, signature="text")
            asked.append(pool.submit(by_grpc, 6))
            answers = [np.ravel(one.result(30)).tolist() for one in asked]
        assert many["text"].tolist() == [b"a", b"b", b"c"]
        with urllib.request.urlopen(f"http://127.0.0.1:{server.rest_port}/monitoring/prometheus/metrics") as page:
            assert b":tensorflow:serving:batching_session:wrapped_run_count 2.0" in page.read()
    assert answers == [[x / 2 + 2] for x in (2, 4, 6)]
