import grpc
import pytest
import tensorflow as tf

from tfdrift.serving.refusal import Refusal, code_of


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("INVALID_ARGUMENT", 400),
        ("FAILED_PRECONDITION", 400),
        ("NOT_FOUND", 404),
        ("UNIMPLEMENTED", 501),
        ("UNAVAILABLE", 503),
        ("INTERNAL", 500),
        ("UNKNOWN", 500),
    ],
)
def test_http_status_is_tf_servings(code, status):
    assert Refusal(grpc.StatusCode[code], "").http_status == status


@pytest.mark.parametrize("name", ["INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED", "UNAVAILABLE", "DATA_LOSS"])
def test_tensorflows_error_numbers_are_grpcs(name):
    assert code_of(getattr(tf.errors, name)) == grpc.StatusCode[name]


def test_a_number_that_grpc_does_not_know_is_unknown():
    assert code_of(99) == grpc.StatusCode.UNKNOWN


def test_a_message_fits_into_a_header():
    assert len(Refusal(grpc.StatusCode.INTERNAL, "x" * 10**6).message) == 1000
