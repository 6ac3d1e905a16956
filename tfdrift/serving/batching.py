"""Requests of one signature that come together are answered together, as TF Serving's batching does.

The first request of a batch leads: it waits a little for others and gives the batch to the batch threads, one of which
runs the joined rows and hands each request its own. Whoever comes before a thread is free still joins.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from os import cpu_count
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2

from tfdrift.errors import DataError, UsageError
from tfdrift.serving.refusal import Refusal, invalid

Arrays = dict[str, np.ndarray]


class BatchingParameters(NamedTuple):
    """How requests are joined; names and defaults are those of `BatchingParameters` of TF Serving.

    Args:
        max_batch_size: rows of the largest request and, without splitting, of the largest batch.
        batch_timeout_micros: how long a batch waits to be filled.
        max_enqueued_batches: of a signature, that may wait for a thread; what comes beyond is refused.
        num_batch_threads: batches that run at a time.
        allowed_batch_sizes: rows that a batch is filled up to, rising; empty for any number.
        pad_variable_length_inputs: whether inputs of other sizes behind the first axis are filled up and joined; they
            run apart otherwise.
        enable_large_batch_splitting: whether a request may be cut.
        max_execution_batch_size: rows of the largest batch with splitting; 0 is `max_batch_size`.
        thread_pool_name: of the batch threads, also in the metrics.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = cpu_count() or 1
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int = 0
    thread_pool_name: str = "batch_threads"

    @property
    def largest(self) -> int:
        """Rows of the largest batch that runs."""
        return (self.enable_large_batch_splitting and self.max_execution_batch_size) or self.max_batch_size


def read_batching_parameters(file: Path) -> BatchingParameters:
    """Return what a file for `--batching_parameters_file` says.

    Args:
        file: `BatchingParameters` as text.

    Raises:
        DataError: it cannot be read, or its numbers do not go together; in TF Serving's words where it has such.
    """
    try:
        told = text_format.Parse(file.read_text(encoding="utf-8"), _message_class()())
    except text_format.ParseError as error:
        raise DataError(f"{file}: Error parsing text-format tensorflow.serving.BatchingParameters: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} is no batching parameters of TF Serving: {error}") from None
    parameters = BatchingParameters(**{field.name: _plain(value) for field, value in told.ListFields()})
    for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads"):
        if getattr(parameters, name) < 1:
            raise DataError(f"{file}: {name} must be positive; was {getattr(parameters, name)}")
    if parameters.batch_timeout_micros < 0:
        raise DataError(f"{file}: batch_timeout_micros must be non-negative; was {parameters.batch_timeout_micros}")
    if parameters.largest > parameters.max_batch_size:
        raise DataError(
            f"{file}: max_execution_batch_size ({parameters.largest}) must not be above max_batch_size "
            f"({parameters.max_batch_size})"
        )
    sizes = parameters.allowed_batch_sizes
    if list(sizes) != sorted(set(sizes)):
        raise DataError(f"{file}: allowed_batch_sizes entries must be monotonically increasing")
    if sizes and sizes[-1] != parameters.largest:
        name = (
            "equal to max_execution_batch_size" if parameters.enable_large_batch_splitting else "match max_batch_size"
        )
        verb = "be " if name.startswith("equal") else ""
        raise DataError(
            f"{file}: Last entry in allowed_batch_sizes must {verb}{name}; last entry was {sizes[-1]}; expected "
            f"{parameters.largest}"
        )
    return parameters


def batching_of_flags(flags: Mapping[str, str]) -> BatchingParameters | None:
    """Return how requests are joined by the flags of TF Serving's program; None where they are not.

    Args:
        flags: by name.

    Raises:
        DataError: see `read_batching_parameters`.
        UsageError: there is a file for what is not asked for, in TF Serving's words.
    """
    file = flags.get("batching_parameters_file")
    if flags.get("enable_batching") != "true":
        if file:
            raise UsageError(
                "server_options.batching_parameters_file is set without setting server_options.enable_batching to true."
            )
        return None
    return read_batching_parameters(Path(file)) if file else BatchingParameters()


class _Piece(NamedTuple):
    """Rows of a request that run together, and who waits for them."""

    inputs: Arrays
    rows: int
    came: float
    answer: Future[Arrays]


class _Batch:
    """Pieces that are to run together."""

    def __init__(self) -> None:
        self.pieces: list[_Piece] = []
        self.rows = 0
        self.full = threading.Event()


class Batching:
    """The batches that wait; `run` may be called from many threads at once.

    Args:
        parameters: how requests are joined.
        ran: is told of every batch how many seconds each of its requests waited; called from many threads.
    """

    def __init__(
        self, parameters: BatchingParameters, ran: Callable[[Sequence[float]], None] = lambda _waited: None
    ) -> None:
        self._parameters = parameters
        self._ran = ran
        self._threads = ThreadPoolExecutor(parameters.num_batch_threads, parameters.thread_pool_name)
        self._lock = threading.Lock()
        self._waiting: dict[Hashable, deque[_Batch]] = {}

    def run(self, of: Hashable, inputs: Arrays, compute: Callable[[Arrays], Arrays]) -> Arrays:
        """Return the outputs for inputs, which may have run beside those of others.

        Args:
            of: what can run together: a model, its signature and what is wanted of it.
            inputs: by name, whose first axis counts rows.
            compute: makes outputs of inputs, a row of each for a row.

        Raises:
            Refusal: what `compute` raises of these rows; there are no rows to count, or too many; too many batches
                wait; or the outputs are not row by row.
        """
        rows = _rows(inputs)
        if rows > self._parameters.max_batch_size:
            raise invalid(f"Task size {rows} is larger than maximum input batch size {self._parameters.max_batch_size}")
        padded = self._parameters.pad_variable_length_inputs
        shapes = ((name, a.dtype.str, a.ndim if padded else a.shape[1:]) for name, a in sorted(inputs.items()))
        key = (of, *shapes)
        pieces, led = self._join(key, inputs, rows)
        for batch in led:  # all but the last are full and need not wait
            batch.full.wait(self._parameters.batch_timeout_micros / 1e6)
            self._threads.submit(self._run, key, batch, compute)
        answers = [piece.answer.result() for piece in pieces]
        return (
            answers[0]
            if len(answers) == 1
            else {name: np.concatenate([a[name] for a in answers]) for name in answers[0]}
        )

    def _join(self, key: Hashable, inputs: Arrays, rows: int) -> tuple[list[_Piece], list[_Batch]]:
        """Put a request's rows into batches, and return its pieces and the batches that it leads."""
        limit, came, pieces, led = self._parameters.largest, time.perf_counter(), [], []
        with self._lock:
            waiting = self._waiting.get(key, deque())
            last = waiting[-1] if waiting and not waiting[-1].full.is_set() else None
            free = 0 if last is None else limit - last.rows
            if rows > free and not self._parameters.enable_large_batch_splitting:
                free = 0  # it does not fit, and is not cut
            new = -(-max(0, rows - free) // limit)
            if len(waiting) + new > self._parameters.max_enqueued_batches:
                raise Refusal(
                    grpc.StatusCode.UNAVAILABLE,
                    "The batch scheduling queue to which this task was submitted is full; currently "
                    f"{len(waiting)} batches enqueued and max_enqueued_batches is "
                    f"{self._parameters.max_enqueued_batches}",
                )
            start = 0
            while start < rows or not pieces:
                if last is None or not free:
                    if last is not None:
                        last.full.set()
                    last, free = _Batch(), limit
                    led.append(last)
                    self._waiting.setdefault(key, waiting).append(last)
                count = min(free, rows - start)
                part = {name: a[start : start + count] for name, a in inputs.items()}
                piece = _Piece(part, count, came, Future())
                pieces.append(piece)
                last.pieces.append(piece)
                last.rows += count
                start, free = start + count, free - count
                if not free:
                    last.full.set()
        return pieces, led

    def _run(self, key: Hashable, batch: _Batch, compute: Callable[[Arrays], Arrays]) -> None:
        with self._lock:
            batch.full.set()  # nobody joins any more
            waiting = self._waiting[key]
            waiting.remove(batch)
            if not waiting:
                del self._waiting[key]
        try:
            now = time.perf_counter()
            self._ran([now - piece.came for piece in batch.pieces])
            self._answer(batch.pieces, compute)
        except Exception as error:  # what no refusal foresees; nobody may wait for ever
            for piece in batch.pieces:
                if not piece.answer.done():
                    piece.answer.set_exception(error)
            raise

    def _answer(self, pieces: Sequence[_Piece], compute: Callable[[Arrays], Arrays]) -> None:
        try:
            outputs = self._computed(pieces, compute)
        except Refusal as refusal:
            if len(pieces) == 1:
                pieces[0].answer.set_exception(refusal)
                return
            for piece in pieces:  # so that one request does not spoil the others
                self._answer([piece], compute)
            return
        start = 0
        for piece in pieces:
            end = start + piece.rows
            piece.answer.set_result({name: output[start:end] for name, output in outputs.items()})
            start = end

    def _computed(self, pieces: Sequence[_Piece], compute: Callable[[Arrays], Arrays]) -> Arrays:
        rows = sum(piece.rows for piece in pieces)
        allowed = next((size for size in self._parameters.allowed_batch_sizes if size >= rows > 0), rows)
        joined = {name: _joined([piece.inputs[name] for piece in pieces], allowed) for name in pieces[0].inputs}
        outputs = compute(joined)
        for name, output in outputs.items():
            if output.ndim == 0:
                raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, f"Batched output tensor has 0 dimensions: {name}")
            if len(output) != allowed:
                raise Refusal(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the "
                    f"input tensors: {name}",
                )
        return {name: output[:rows] for name, output in outputs.items()}


def _rows(inputs: Arrays) -> int:
    if not inputs:
        raise invalid("Batching session Run() must have at least one input tensor")
    if any(array.ndim == 0 for array in inputs.values()):
        raise invalid("Batching session Run() input tensors must have at least one dimension")
    rows = {len(array) for array in inputs.values()}
    if len(rows) > 1:
        raise invalid("Batching session Run() input tensors must have equal 0th-dimension size")
    return rows.pop()


def _joined(arrays: Sequence[np.ndarray], rows: int) -> np.ndarray:
    """Return arrays one after the other, filled up to the largest of them and to a number of rows."""
    largest = np.max([array.shape[1:] for array in arrays], axis=0, initial=0).astype(int)
    filled = [_filled(array, (len(array), *largest)) if array.ndim > 1 else array for array in arrays]
    joined = filled[0] if len(filled) == 1 else np.concatenate(filled)
    missing = rows - len(joined)
    return np.concatenate([joined, np.repeat(joined[:1], missing, axis=0)]) if missing else joined


def _filled(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return an array filled up to a shape with its first value, as TF Serving fills."""
    if array.shape == shape:
        return array
    nothing = b"" if array.dtype == object else 0
    larger = np.full(shape, array.flat[0] if array.size else nothing, array.dtype)
    larger[tuple(slice(side) for side in array.shape)] = array
    return larger


def _plain(value: Any) -> Any:
    if isinstance(value, (wrappers_pb2.Int64Value, wrappers_pb2.BoolValue, wrappers_pb2.StringValue)):
        return value.value
    return value if isinstance(value, (bool, int)) else tuple(value)


def _message_class() -> Any:
    """Return the class of TF Serving's message, which tensorflow-serving-api comes without."""
    pool = descriptor_pool.Default()
    name = "tfdrift.serving.BatchingParameters"
    try:
        return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
    except KeyError:
        pass
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="tfdrift/serving/batching.proto",
        package="tfdrift.serving",
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )
    message = file.message_type.add(name="BatchingParameters")
    wrapped = {
        "max_batch_size": "Int64Value", "batch_timeout_micros": "Int64Value", "max_enqueued_batches": "Int64Value",
        "num_batch_threads": "Int64Value", "thread_pool_name": "StringValue", "max_execution_batch_size": "Int64Value",
        "enable_large_batch_splitting": "BoolValue",
    }  # fmt: skip
    plain = {
        "allowed_batch_sizes": (field.TYPE_INT64, field.LABEL_REPEATED),
        "pad_variable_length_inputs": (field.TYPE_BOOL, field.LABEL_OPTIONAL),
    }
    for number, (field_name, kind) in enumerate(wrapped.items(), start=1):
        message.field.add(
            name=field_name, number=number, type=field.TYPE_MESSAGE, label=field.LABEL_OPTIONAL,
            type_name=f".google.protobuf.{kind}",
        )  # fmt: skip
    for number, (field_name, (kind, label)) in enumerate(plain.items(), start=len(wrapped) + 1):
        message.field.add(name=field_name, number=number, type=kind, label=label)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
