import pickle

import pytest

from tfdrift import errors

ERRORS = pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.NotBlessedError("x"), 1),
        (errors.UsageError("x"), 2),
        (errors.DataError("x"), 3),
        (errors.ResourceError("x"), 4),
        (errors.DivergedError("x"), 5),
        (errors.StoppedError("x", 15), 143),
        (errors.StoppedError("x", 2), 130),
    ],
)


@ERRORS
def test_each_error_has_the_documented_exit_code(error, code):
    assert isinstance(error, errors.TfdriftError)
    assert error.exit_code == code


@ERRORS
def test_an_error_arrives_whole_from_another_process(error, code):
    arrived = pickle.loads(pickle.dumps(error))
    assert (type(arrived), str(arrived), arrived.exit_code) == (type(error), "x", code)
